import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decision, InstanceSummary } from '../../src/core/contracts/shapes.ts'
import { admin, backends, Cloud } from '../kit/cloud.ts'

/**
 * Two schedulers, 20 hosts, 10 places on each: 200 boots at once all find one, and the next is told why not, for every
 * host (invariants I3 and I5).
 */
const hosts = 20
const each = 10
const slots = hosts * each
const settings = {
  NOVA_FAKE_HOSTS: String(hosts),
  NOVA_FAKE_MEMORY_MB: String(each * 128),
  NOVA_FAKE_VCPUS: '64',
  NOVA_SCHEDULER_RESERVED_HOST_MEMORY_MB: '0',
  NOVA_LOG_LEVEL: 'warn',
}

for (const backend of await backends())
  describe(`${slots} boots on ${slots} places (${backend})`, () => {
    let cloud: Cloud
    beforeAll(async () => {
      cloud = await Cloud.open(backend, settings)
      await cloud.up('--driver', 'fake')
      await cloud.daemon('scheduler', { NOVA_COMPUTE_HOST: 'second' })
    })
    afterAll(() => cloud?.close())

    test('all of them become ACTIVE, and the one after is refused with a reason for each host', {
      timeout: 120_000,
    }, async () => {
      const bus = await cloud.bus()
      const api = await cloud.conductor()
      let ended = 0
      let finish = (): void => undefined
      const all = new Promise<void>((resolve) => {
        finish = resolve
      })
      await bus.subscribe(['instance.create.end.#', 'instance.create.error.#'], () => ++ended === slots && finish())
      const names = Array.from({ length: slots }, (_, i) => `m${i}`)
      await Promise.all(names.map((name) => api.boot(admin(), { name, flavor: 'm1.nano' })))
      await all

      const instances = await cloud.json<InstanceSummary[]>('list')
      expect(instances.filter((row) => row.status !== 'ACTIVE')).toEqual([])
      expect(instances).toHaveLength(slots)
      const rows = (await api.hostList(admin(), {})).hosts
      expect(rows.map((host) => host.instances)).toEqual(Array(hosts).fill(each))
      expect(rows.map((host) => host.used.memoryMb)).toEqual(Array(hosts).fill(each * 128))

      const one = await cloud.nova('boot', 'too-many', '--flavor', 'm1.nano', '--wait')
      expect(one.code).toBe(1)
      expect(one.stderr).toMatch(/No valid host was found: 20 hosts: 20 .*memory/)
      const { decision } = await api.explain(admin(), { instance: 'too-many' })
      expect((decision as Decision).hosts).toHaveLength(hosts)
      for (const verdict of (decision as Decision).hosts)
        expect(verdict).toMatchObject({ passed: false, filter: 'ram', reason: expect.stringContaining('128 MiB') })
    })
  })
