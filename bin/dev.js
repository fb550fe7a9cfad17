#!/usr/bin/env node
// The command `nova` from the sources as they are now: builds, then runs.
const { spawnSync } = require('node:child_process')
const { resolve } = require('node:path')

const cwd = resolve(__dirname, '..')
const built = spawnSync(process.execPath, ['--import', 'tsx', 'tools/build.ts'], { cwd, stdio: ['ignore', 2, 2] })
if (built.status === 0) require('./run.js')
else process.exitCode = built.status ?? 1
