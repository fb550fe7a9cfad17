import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { loadConfig } from '../../src/core/config/load.ts'
import { places } from '../../src/core/config/places.ts'
import { examine } from '../../src/daemons/doctor.ts'
import { qemu } from '../kit/qemu.ts'

test.runIf(await qemu())('doctor tells which cgroups its compute host found, and why not others', async () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'nova-doctor-'))
  onTestFinished(() => rmSync(stateDir, { recursive: true }))
  const env = { NOVA_STATE_DIR: stateDir, NOVA_COMPUTE_ACCELERATOR: 'tcg', NOVA_COMPUTE_HOST: 'h1' }
  const config = await loadConfig({ env })
  const dir = places(stateDir).compute('h1')
  mkdirSync(dir, { recursive: true })
  const told = async (answer?: unknown) => {
    if (answer) writeFileSync(join(dir, 'cgroups.json'), JSON.stringify(answer))
    return (await examine(config)).find(({ check }) => check === 'cgroups')
  }
  expect(await told()).toMatchObject({ state: 'ok', found: expect.stringContaining('not tried yet') })
  expect(await told({ controllers: ['memory', 'pids', 'cpu'], why: '' })).toMatchObject({
    state: 'ok',
    found: 'one a guest: memory, pids, cpu',
  })
  // To a user it is no matter.
  const state = process.geteuid?.() === 0 ? 'warning' : 'ok'
  expect(await told({ controllers: ['pids'], why: 'memory: it is not mounted' })).toMatchObject({
    state,
    found: 'one a guest, for pids only (memory: it is not mounted)',
  })
  expect(await told({ controllers: [], why: '/sys/fs/cgroup is mounted read-only' })).toMatchObject({
    state,
    found: expect.stringMatching(
      /^guests run without: nothing limits memory.*\(\/sys\/fs\/cgroup is mounted read-only\)$/,
    ),
  })
})
