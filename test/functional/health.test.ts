import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { agent } from '../../src/core/contracts/agent.ts'
import { compute } from '../../src/core/contracts/compute.ts'
import { computeAgent } from '../../src/core/contracts/compute-agent.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import { scheduler } from '../../src/core/contracts/scheduler.ts'
import type { Published } from '../../src/core/contracts/shapes.ts'
import { brokers, later, type TestBroker } from '../core/rpc/kit.ts'
import { admin, Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'
import { startProxy } from '../kit/proxy.ts'

const settings = {
  NOVA_COMPUTE_DRIVER: 'fake',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.2',
  NOVA_SERVICES_PING_SECONDS: '0.4',
}

describe.each(brokers)('a host that speaks and does not hear, on %s', (_name, open) => {
  let at: TestBroker
  let cloud: Cloud
  beforeAll(async () => {
    at = await open()
  })
  afterEach(() => cloud?.close())
  afterAll(() => at.drop())

  test('is degraded, gets no instances, and is up again by itself when it can be', { timeout: 60_000 }, async () => {
    cloud = await Cloud.open('embedded', { ...settings, NOVA_BUS_URL: at.url })
    for (const name of ['conductor', 'scheduler']) await cloud.daemon(name)
    const wire = await startProxy({ host: '127.0.0.1', port: at.port }, { framed: true })
    const via = new URL(at.url)
    via.host = `127.0.0.1:${wire.port}`
    await cloud.daemon('compute', { NOVA_BUS_URL: via.href })
    const made = await cloud.nova('image', 'create', 'tiny', '--disk', import.meta.filename, '--disk-format', 'raw')
    expect(made).toMatchObject({ code: 0 })
    const bus = await cloud.bus()
    const api = await cloud.conductor()
    const [degraded, up] = [later<Published>(), later<Published>()]
    await bus.subscribe(['host.#'], ({ body }) => {
      const event = body as Published
      if (event.type === 'host.degraded') degraded.resolve(event)
      if (event.type === 'host.up') up.resolve(event)
    })
    const well = await cloud.json<Array<Record<string, unknown>>>('service', 'list')
    expect(well.map(({ state }) => state)).toEqual(['up', 'up', 'up'])
    for (const service of well) expect(service.heard_at).toEqual(expect.stringMatching(/^20\d\d-/))
    expect(well.map(({ contracts }) => contracts)).toEqual([
      { compute: compute.version },
      { agent: agent.version, compute_agent: computeAgent.version, conductor: conductor.version },
      { scheduler: scheduler.version },
    ])

    // The host speaks, and whatever is said to it ends on its way.
    wire.swallows = 'compute.host'
    expect((await degraded.promise).message).toMatch(/^it has not heard itself on the bus for \d+ s$/)
    const services = await cloud.json<Array<{ binary: string; state: string }>>('service', 'list')
    expect(services).toContainEqual(expect.objectContaining({ binary: 'compute', state: 'degraded' }))
    expect(await cloud.json('host', 'list')).toMatchObject([{ name: 'host', state: 'degraded' }])
    expect((await cloud.nova('status')).stdout).toMatch(
      /hosts +1 degraded\n[\s\S]*compute@host is degraded: .* It reconnects/,
    )
    const checks = await cloud.json<Array<Record<string, string>>>('doctor')
    expect(checks).toContainEqual(
      expect.objectContaining({
        check: 'services',
        state: 'warning',
        found: expect.stringContaining('compute@host is degraded'),
      }),
    )
    const { decision } = await api.bootDryRun(admin(), { name: 'x', image: 'tiny', flavor: 'm1.nano' })
    expect(decision.hosts).toEqual([
      expect.objectContaining({
        host: 'host',
        filter: 'compute-up',
        reason: expect.stringMatching(/^degraded: has not heard itself on the bus for \d+ s \(at most 1 s\)$/),
      }),
    ])

    wire.swallows = undefined
    await up.promise
    await persist(async () => expect(await cloud.json('host', 'list')).toMatchObject([{ state: 'up' }]))
    expect(await cloud.nova('boot', 'web', '--image', 'tiny', '--flavor', 'm1.nano', '--wait')).toMatchObject({
      code: 0,
    })
    await cloud.close()
    await wire.close()
  })
})
