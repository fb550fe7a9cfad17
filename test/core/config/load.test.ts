import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { loadConfig } from '../../../src/core/config/load.ts'
import { busUrl, databaseUrl, places } from '../../../src/core/config/places.ts'
import { optionRows } from '../../../src/core/config/schema.ts'
import { shownOptions } from '../../../src/core/config/show.ts'

const folder = mkdtempSync(join(tmpdir(), 'nova-config-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
let serial = 0
const file = (toml: string): string => {
  const path = join(folder, `${++serial}.toml`)
  writeFileSync(path, toml)
  return path
}
const nowhere = { NOVA_CONFIG: '/dev/null' }

test('a flag wins over the environment, the environment over the file, the file over the default', async () => {
  const path = file('[log]\nlevel = "error"\n[fake]\nhosts = 3\nvcpus = 2\n[operations]\nlease_seconds = 7')
  const config = await loadConfig({
    file: path,
    env: { NOVA_FAKE_HOSTS: '4', NOVA_FAKE_VCPUS: '5' },
    overrides: { 'fake.vcpus': 6 },
  })
  expect([config.log.level, config.fake.hosts, config.fake.vcpus, config.operations.leaseSeconds]).toEqual([
    'error',
    4,
    6,
    7,
  ])
  expect(config.operations.sweepSeconds).toBe(2)
  expect(config.sources).toMatchObject({ 'log.level': path, 'fake.hosts': 'NOVA_FAKE_HOSTS', 'fake.vcpus': 'flag' })
})

test('numbers, lists and tables are read from text as what they are', async () => {
  const env = {
    ...nowhere,
    NOVA_SCHEDULER_CPU_ALLOCATION_RATIO: '2.5',
    NOVA_SCHEDULER_FILTERS: 'ram, disk',
    NOVA_SCHEDULER_WEIGHERS: 'spread=2,free-ram=0.5',
  }
  const { scheduler } = await loadConfig({ env, overrides: { 'scheduler.slots': '9' } })
  expect(scheduler).toMatchObject({
    cpuAllocationRatio: 2.5,
    filters: ['ram', 'disk'],
    weighers: { spread: 2, 'free-ram': 0.5 },
    slots: 9,
  })
})

test.each([
  ['a wrong value', '[log]\nlevel = "loud"', /log\.level = "loud" \(.*toml\): allowed are debug, info/],
  ['a wrong kind of value', '[fake]\nhosts = "many"', /fake\.hosts = "many".*expected number/],
  ['a number out of range', '[fake]\nhosts = 0', /fake\.hosts = 0.*>0/],
  ['an unknown key', '[compute]\nhots = "a"', /compute\.hots = "a".*known keys are compute\.host, /],
  ['an unknown section', '[colour]\nred = 1', /colour.*known sections are bus, database/],
  ['a value where a section should be', 'log = 3', /log = 3.*expected/],
  ['an address that is none', '[broker]\nlisten = ["[1.2.3.4"]', /broker\.listen.*host:port, tls:host:port or unix:/],
  [
    'an address that others cannot connect to',
    '[compute]\nmigration_address = "0.0.0.0"',
    /compute\.migration_address = "0\.0\.0\.0".*an address that other hosts can connect to/,
  ],
  ['what is no processor', '[compute]\ncpu_model = "a,b"', /compute\.cpu_model = "a,b".*the name of one model/],
  ['what is not TOML', '[log]\nlevel = @x', /config = [^ ]+\.toml \(line 2, column 9\): not TOML: [^\n]+\.$/],
])('%s in the file is refused with key, value, source and what is allowed', async (_, toml, says) => {
  await expect(loadConfig({ file: file(toml), env: {} })).rejects.toMatchObject({
    code: 'ConfigInvalid',
    message: expect.stringMatching(says),
  })
})

test('a file that was asked for must be there; the usual one need not', async () => {
  await expect(loadConfig({ file: join(folder, 'none.toml'), env: {} })).rejects.toMatchObject({
    message: expect.stringContaining('no such file'),
  })
  await expect(loadConfig({ env: nowhere })).resolves.toMatchObject({ log: { level: 'info' } })
})

test('without a word about them, bus and database are those of the state directory', async () => {
  const config = await loadConfig({ env: { ...nowhere, NOVA_STATE_DIR: folder } })
  expect(databaseUrl(config)).toBe(`sqlite:${folder}/nova.sqlite`)
  expect(() => busUrl(config)).toThrow(/no cloud has been started here yet/)
  const { run, busPassword } = places(folder)
  const { mkdirSync } = await import('node:fs')
  mkdirSync(run)
  writeFileSync(busPassword, 'secret\n')
  expect(busUrl(config)).toBe(`amqp+unix://nova:secret@${folder}/run/bus.sock`)
})

test('no password is shown', async () => {
  const env = {
    ...nowhere,
    NOVA_BUS_URL: 'amqp://u:pa:ss@a/v, amqp://u:other@b/v,amqp+unix://u:c,o@mma@/run/bus.sock',
    NOVA_DATABASE_URL: 'mysql://root:hush@db/nova',
  }
  const shown = JSON.stringify(shownOptions(await loadConfig({ env })))
  expect(shown).toContain('mysql://root:***@db/nova')
  for (const secret of ['pa:ss', 'ss@a', 'other', 'c,o', 'mma', 'hush']) expect(shown).not.toContain(secret)
})

test('every option has a reason and a variable of its own', () => {
  const rows = optionRows()
  expect(rows.filter((row) => row.why.length < 20)).toEqual([])
  expect(new Set(rows.map((row) => row.env)).size).toBe(rows.length)
})
