import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cleanEnv, ids, type StandIn, startStandIn, webInstance, webSummary } from '../cli/stand-in.ts'

const root = resolve(import.meta.dirname, '../..')
/** Runs a command as bin/run.js does, and tells which packages it asked node for and what of ours it woke. */
const watcher = `
const Module = require('node:module')
const load = Module._load
const asked = new Set()
Module._load = function (request, ...rest) { asked.add(request); return load.call(this, request, ...rest) }
process.on('exit', () => require('node:fs').writeSync(2, '\\nLOADED ' + [...asked].join(' ')))
process.argv.splice(1, 0, '${root}/bin/run.js')
require('${root}/bin/run.js')`

let standIn: StandIn
beforeAll(async () => {
  standIn = await startStandIn({
    instanceList: async () => ({ instances: [webSummary] }),
    instanceShow: async () => webInstance,
    begin: async () => ({ operation: ids.pause, instance: { id: ids.web, name: 'web' } }),
  })
})
afterAll(() => standIn.close())

test.each([['list'], ['show', 'web'], ['pause', 'web', '-f', 'json']])(
  'nova %s loads no database, no logger, no screen (I11)',
  async (...args) => {
    const env = cleanEnv({ NOVA_BUS_URL: standIn.url, NOVA_CONFIG: '/dev/null' })
    const child = spawn(process.execPath, ['-e', watcher, '--', ...args], { env, stdio: 'pipe' })
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
    expect(stdout).toContain('web')
    const packages = (stderr.split('LOADED ')[1] ?? '').split(' ')
    expect(packages).toContain('node:vm')
    // All that is not node's own would be one more file to find, read and compile.
    expect(packages.filter((name) => /kysely|mysql2|photostructure|sqlite|pino|ink|react/.test(name))).toEqual([])
  },
)
