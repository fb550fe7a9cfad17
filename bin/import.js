// Imports an ES module for the bundle: code that comes from the cache knows no loader to import with.

/** @param {string} url @returns {Promise<unknown>} */
exports.importModule = (url) => import(url)
