import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/base/clock.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { loadConfig } from '../../src/core/config/load.ts'
import { agent } from '../../src/core/contracts/agent.ts'
import type { Service } from '../../src/core/contracts/shapes.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import type { Contract, Methods } from '../../src/core/rpc/contract.ts'
import { startComputeHosts } from '../../src/daemons/compute.ts'
import { openState, startConductor } from '../../src/daemons/conductor.ts'
import type { Runtime } from '../../src/daemons/runtime.ts'
import { agent as previousAgent } from '../core/contracts/previous/agent.ts'
import { compute as previousCompute } from '../core/contracts/previous/compute.ts'
import { conductor as previousConductor } from '../core/contracts/previous/conductor.ts'
import { scheduler as previousScheduler } from '../core/contracts/previous/scheduler.ts'
import { recorder } from '../core/rpc/kit.ts'
import { admin, type Backend, backends, Cloud } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'

const settings = {
  NOVA_COMPUTE_DRIVER: 'fake',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.3',
  NOVA_OPERATIONS_SWEEP_SECONDS: '0.3',
}
const previous: Record<string, Contract> = {
  agent: previousAgent,
  compute: previousCompute,
  conductor: previousConductor,
  scheduler: previousScheduler,
}

/** The bus as a daemon of before has it: its messages, and its answers, have what they had then and no more. */
function aged(bus: Bus): Bus {
  // What came later has no words of before, and is not asked here.
  const then = (contract: Contract): Contract => previous[contract.topic] ?? contract
  const answering = (methods: Methods, api: object) =>
    Object.fromEntries(
      Object.entries(api).map(([name, run]) => {
        const law = methods[name]
        const answer = async (ctx: unknown, args: unknown) => {
          const result = await Reflect.apply(run as () => unknown, api, [ctx, args])
          return law?.kind === 'call' ? law.result.parse(result) : result
        }
        return [name, answer]
      }),
    )
  return {
    ...bus,
    client: (contract, target) => {
      const { cap: _, ...plain } = target ?? {}
      return bus.client(then(contract), plain) as never
    },
    serve: (services, options) =>
      bus.serve(
        services.map(({ contract, api }) => ({
          contract: then(contract),
          api: answering(then(contract).methods, api) as never,
        })),
        options,
      ),
  }
}

describe.each(await backends())('a cloud of two versions (%s)', (backend: Backend) => {
  let cloud: Cloud
  const undo: Array<() => Promise<void> | void> = []
  afterEach(async () => {
    for (const fn of undo.splice(0).reverse()) await fn()
    await cloud?.close()
  })

  /** What a daemon is given that runs in this process, and what it logs. */
  async function runtime(): Promise<{ runtime: Runtime; refused: () => unknown[] }> {
    const { log, lines } = recorder()
    const config = await loadConfig({ env: cloud.env })
    const refused = () =>
      lines.filter(({ code, why }) => code === 'UnsupportedVersion' || /speaks version/.test(`${why}`))
    return {
      runtime: { config, log, clock: systemClock, ids: systemIds, onStop: (fn) => undo.push(fn) },
      refused,
    }
  }

  /** An instance is booted and paused, and the cloud asked for all of it, in words of before. */
  async function works(bus: Bus): Promise<void> {
    const api = bus.client(previousConductor)
    const image = systemIds.hex()
    const made = await cloud.nova('image', 'create', image, '--disk', import.meta.filename, '--disk-format', 'raw')
    expect(made).toMatchObject({ code: 0 })
    const { begun } = await api.boot(admin(), { name: systemIds.hex(), image, flavor: 'm1.nano' })
    const { operation, instance } = begun[0]!
    expect(await endOf(api as never, operation)).toMatchObject({ state: 'succeeded' })
    const paused = await api.begin(admin(), { instance: instance.id, kind: 'pause' })
    expect(await endOf(api as never, paused.operation)).toMatchObject({ state: 'succeeded' })
    expect(await api.instanceShow(admin(), { instance: instance.id })).toMatchObject({ status: 'PAUSED' })
    expect((await api.status(admin(), {})).hosts).toMatchObject({ up: 1 })
    expect((await api.hostList(admin(), {})).hosts).toMatchObject([{ state: 'up' }])
  }

  const services = async (): Promise<Record<string, Service>> => {
    const { services } = await (await cloud.conductor()).serviceList(admin(), {})
    return Object.fromEntries(services.map((service) => [service.binary, service]))
  }

  test('a host of before with a conductor of today, asked by a command of before', async () => {
    cloud = await Cloud.open(backend, settings)
    for (const name of [...(backend === 'embedded' ? ['broker'] : []), 'conductor', 'scheduler'])
      await cloud.daemon(name)
    const bus = await cloud.bus()
    const host = await runtime()
    await startComputeHosts(host.runtime, aged(bus))
    await works(bus)
    expect(host.refused()).toEqual([])
    const { compute, conductor, scheduler } = await services()
    expect(compute).toMatchObject({ state: 'up' })
    expect(compute).not.toHaveProperty('contracts')
    expect(compute).not.toHaveProperty('lastPongAt')
    expect(conductor).toMatchObject({ contracts: { agent: agent.version }, unresponsive: false })
    expect(scheduler).toMatchObject({ contracts: { scheduler: '1.0' }, unresponsive: false })
  })

  test('a host of today with a conductor of before, and after that is updated', async () => {
    cloud = await Cloud.open(backend, settings)
    if (backend === 'embedded') await cloud.daemon('broker')
    const bus = await cloud.bus()
    const old = await runtime()
    await startConductor(old.runtime, aged(bus), await openState(old.runtime))
    await cloud.daemon('scheduler')
    await cloud.daemon('compute')
    await works(bus)
    expect(old.refused()).toEqual([])
    const client = bus.client(agent)
    const said = { host: 'host', incarnation: 'x', operations: [], silentMs: 1 }
    await expect(client.heartbeat(admin(), said)).rejects.toMatchObject({
      code: 'UnsupportedVersion',
      message: 'agent speaks version 1.0, but the message has version 1.1.',
      hint: expect.stringContaining('Update the older side'),
    })
    for (const fn of undo.splice(0).reverse()) await fn()

    await cloud.daemon('conductor')
    await works(bus)
    const told = await persist(async () => {
      const { compute } = await services()
      if (compute?.contracts === undefined) throw new Error('not told yet')
      return compute
    })
    expect(told).toMatchObject({ contracts: { compute: '1.0' }, unresponsive: false, lastPongAt: expect.any(Number) })
  })
})
