#!/usr/bin/env node
// The command `nova`: runs what `npm run build` has made.
const { existsSync } = require('node:fs')
const { homedir } = require('node:os')
const { join, resolve } = require('node:path')

const root = resolve(__dirname, '..')
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)

if (major < 20 || (major === 20 && minor < 19))
  refuse(`Node.js 20.19 or newer is needed; this is ${process.version}.`, 'Install it: https://nodejs.org')
else if (!existsSync(join(root, 'dist', 'nova.cjs'))) refuse('It was not built yet.', `In ${root}: npm run build`)
else void run()

async function run() {
  // Read when the libraries load: no development warnings, no search for sources.
  process.env.NODE_ENV = 'production'
  // Libraries ask for the home directory while they load, and a user without an entry in passwd has none.
  try {
    homedir()
  } catch {
    process.env.HOME = '/nonexistent'
  }
  const { loadBundle } = require('./load.js')
  const { exports: nova, keepCode } = loadBundle(root)
  const words = process.argv.slice(2)
  const code = await nova.main(words, root)
  // A daemon has compiled much that no command needs.
  if (words[0] !== 'daemon') keepCode()
  process.exit(code)
}

/** @param {string} text @param {string} hint */
function refuse(text, hint) {
  process.stderr.write(`nova: ${text}\n  ${hint}\n`)
  process.exitCode = 1
}
