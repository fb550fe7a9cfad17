import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cleanEnv, ids, type StandIn, startStandIn, webInstance, webSummary } from '../cli/stand-in.ts'

const root = resolve(import.meta.dirname, '../..')
/** Runs a command as bin/run.js does, and tells which packages it asked node for and what of ours it woke. */
const watch = `
const Module = require('node:module')
const load = Module._load
const asked = new Set()
Module._load = function (request, ...rest) { asked.add(request); return load.call(this, request, ...rest) }
process.on('exit', () => require('node:fs').writeSync(2, '\\nLOADED ' + [...asked].join(' ')))
const hooks = "import { writeSync } from 'node:fs'; " +
  "export const resolve = (name, context, next) => { writeSync(2, '\\\\nIMPORTED ' + name + '\\\\n'); return next(name, context) }"
Module.register('data:text/javascript,' + encodeURIComponent(hooks))`
const watcher = `${watch}
process.argv.splice(1, 0, '${root}/bin/run.js')
require('${root}/bin/run.js')`

let standIn: StandIn
beforeAll(async () => {
  standIn = await startStandIn({
    instanceList: async () => ({ instances: [webSummary] }),
    instanceShow: async () => webInstance,
    status: async () => ({
      version: '0.1.0',
      database: { dialect: 'sqlite', version: '3', migration: '7' },
      services: [],
      instances: { ACTIVE: 1 },
      operations: {},
      hosts: { up: 0, down: 0, disabled: 0 },
    }),
    hostList: async () => ({ hosts: [] }),
    operationList: async () => ({ operations: [] }),
    eventList: async () => ({ events: [] }),
    begin: async () => ({ operation: ids.pause, instance: { id: ids.web, name: 'web' } }),
  })
})
afterAll(() => standIn.close())

/** All that is not node's own would be one more file to find, read and compile. */
const heavy = /mysql2|photostructure|sqlite|pino|dist.tui/
const imported = (stderr: string): string[] => [...stderr.matchAll(/^IMPORTED (.*)$/gm)].map((match) => match[1] ?? '')

test.each([['list'], ['show', 'web'], ['pause', 'web', '-f', 'json'], ['dashboard', '--once']])(
  'nova %s loads no database, no logger, no screen (I11)',
  async (...args) => {
    const env = cleanEnv({ NOVA_BUS_URL: standIn.url, NOVA_CONFIG: '/dev/null' })
    const child = spawn(process.execPath, ['-e', watcher, '--', ...args], { env, stdio: 'pipe' })
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    expect(stdout).toMatch(/web|1 ACTIVE/)
    const packages = (stderr.split('LOADED ')[1] ?? '').split(' ')
    expect(packages).toContain('node:vm')
    expect([...packages, ...imported(stderr)].filter((name) => heavy.test(name))).toEqual([])
  },
)

test('what the screen of the dashboard loads would have been noticed', async () => {
  const screen = `${watch}
require('${root}/bin/import.js').importModule('file://${root}/dist/tui/dashboard.js').then(() => process.exit())`
  const child = spawn(process.execPath, ['-e', screen], { env: cleanEnv({ NODE_ENV: 'production' }), stdio: 'pipe' })
  expect(imported(await text(child.stderr)).filter((name) => heavy.test(name))).not.toEqual([])
})
