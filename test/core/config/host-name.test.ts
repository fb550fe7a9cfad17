import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { hostName, keptHosts } from '../../../src/core/config/host-name.ts'
import { loadConfig } from '../../../src/core/config/load.ts'

let stateDir: string
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'nv-'))
})
afterEach(() => rmSync(stateDir, { recursive: true }))

const named = async (env: Record<string, string> = {}) =>
  hostName(await loadConfig({ env: { NOVA_CONFIG: '/dev/null', NOVA_STATE_DIR: stateDir, ...env } }))

test('the option counts first, then the name that the state directory has', async () => {
  writeFileSync(join(stateDir, 'driver'), 'qemu 1 alpha\n')
  expect(await named()).toBe('alpha')
  expect(await named({ NOVA_COMPUTE_HOST: 'beta' })).toBe('beta')
})

test('a state directory of an older version has its name from the directories of its hosts', async () => {
  for (const host of ['vm-1', 'vm-2']) mkdirSync(join(stateDir, 'compute', host), { recursive: true })
  writeFileSync(join(stateDir, 'driver'), 'fake 2\n')
  expect(keptHosts(stateDir)).toEqual({ driver: 'fake', count: 2, name: 'vm' })
  expect(await named()).toBe('vm')
})
