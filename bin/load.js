// Loads the bundle that `npm run build` has made, with V8's code cache beside it: a command then starts without compiling.
const { readFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')
const { constants, Script } = require('node:vm')

/** @param {string} root the directory of package.json */
exports.loadBundle = (root) => {
  const filename = join(root, 'dist', 'nova.cjs')
  // The build writes ASCII only.
  const source = readFileSync(filename, 'latin1')
  const script = new Script(`(function (exports, require, module, __filename, __dirname) { ${source}\n})`, {
    filename,
    // Another version of node rejects the cache and compiles.
    cachedData: readIfThere(join(root, 'dist', 'nova.cache')),
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(filename), module, filename, dirname(filename))
  return { exports: module.exports, script }
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
