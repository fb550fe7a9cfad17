// Loads the bundle that `npm run build` has made, with V8's code cache beside it: a command then starts without compiling.
const { readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } = require('node:fs')
const { createRequire } = require('node:module')
const { dirname, join } = require('node:path')
const { constants, Script } = require('node:vm')

/**
 * `keepCode` stores what V8 has compiled, if it was not there yet and the files here are this user's own.
 * @param {string} root the directory of package.json
 */
exports.loadBundle = (root) => {
  const dist = join(root, 'dist')
  const filename = join(dist, 'nova.cjs')
  // The build writes ASCII only.
  const source = readFileSync(filename, 'latin1')
  const cache = join(dist, cacheName(filename))
  const cachedData = readIfThere(cache)
  const script = new Script(`(function (exports, require, module, __filename, __dirname) { ${source}\n})`, {
    filename,
    // Another version of node rejects the cache and compiles.
    cachedData,
    importModuleDynamically: constants.USE_MAIN_CONTEXT_DEFAULT_LOADER,
  })
  const module = { exports: {} }
  script.runInThisContext()(module.exports, createRequire(filename), module, filename, dirname(filename))
  const keepCode = () => {
    if (cachedData === undefined || script.cachedDataRejected) write(cache, script)
  }
  return { exports: module.exports, keepCode }
}

/**
 * V8 compares no more than the length of the source, so the name says of which file the code was compiled: of this one, in
 * this state. A copy of the folder, or a bundle that was changed by one letter, has a code cache of its own.
 * @param {string} filename
 */
function cacheName(filename) {
  const { dev, ino, mtimeNs, ctimeNs } = statSync(filename, { bigint: true })
  return `nova-${[dev, ino, mtimeNs, ctimeNs].map((n) => n.toString(36)).join('-')}.cache`
}

/** @param {string} cache @param {import('node:vm').Script} script */
function write(cache, script) {
  const dist = dirname(cache)
  try {
    if (statSync(dist).uid !== process.geteuid?.()) return
    for (const name of readdirSync(dist)) if (name.endsWith('.cache')) rmSync(join(dist, name), { force: true })
    const made = `${cache}.${process.pid}`
    writeFileSync(made, script.createCachedData(), { flag: 'wx' })
    renameSync(made, cache)
  } catch {
    // A folder that cannot be written: commands compile each time.
  }
}

/** @param {string} path */
function readIfThere(path) {
  try {
    return readFileSync(path)
  } catch {
    return undefined
  }
}
