import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { openDriver } from '../../../src/core/virt/open.ts'

const deps = { log: silentLog, clock: systemClock, ids: systemIds }
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nova-open-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const named = (name: string) => openDriver({ name, stateDir: dir, accelerator: 'tcg', cpuModel: '', fake: {} }, deps)
const refused = (name: string) =>
  named(name).then(
    () => expect.unreachable(),
    (e: unknown) => {
      expect(isFailure(e, 'ConfigInvalid')).toBe(true)
      return (e as Error).message
    },
  )

test('opens our own drivers by their names', async () => {
  expect((await named('fake')).name).toBe('fake')
  expect((await named('qemu')).name).toBe('qemu')
})

test('opens the driver of a package', async () => {
  const plugin = join(dir, 'plugin.mjs')
  await writeFile(plugin, "export const openDriver = (options) => ({ name: 'theirs in ' + options.stateDir })")
  expect((await named(plugin)).name).toBe(`theirs in ${dir}`)
})

test('refuses a package that is not there, or is no driver', async () => {
  expect(await refused('nova-driver-that-is-not-there')).toContain('compute.driver = nova-driver-that-is-not-there')
  expect(await refused('node:path')).toContain('it exports no openDriver')
})
