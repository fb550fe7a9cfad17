#!/usr/bin/env node
// The command `nova`: runs what `npm run build` has made.
import { existsSync } from 'node:fs'

const root = new URL('..', import.meta.url)
const main = new URL('dist/cli/main.js', root)

/** @param {string} text @param {string} hint */
const refuse = (text, hint) => {
  process.stderr.write(`nova: ${text}\n  ${hint}\n`)
  process.exit(1)
}
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19))
  refuse(`Node.js 20.19 or newer is needed; this is ${process.version}.`, 'Install it: https://nodejs.org')
if (!existsSync(main) || !existsSync(new URL('oclif.manifest.json', root)))
  refuse('It was not built yet.', `Build it, in ${decodeURIComponent(root.pathname)}: npm run build`)

// Read when the libraries load: no development warnings, no search for sources.
process.env.NODE_ENV = 'production'
const { main: run } = await import(main.href)
process.exit(await run(process.argv.slice(2), decodeURIComponent(root.pathname)))
