import { afterEach, describe, expect, test } from 'vitest'
import * as z from 'zod'
import { systemClock } from '../../src/core/base/clock.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { loadConfig } from '../../src/core/config/load.ts'
import { agent } from '../../src/core/contracts/agent.ts'
import { compute as computeContract } from '../../src/core/contracts/compute.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import { scheduler as schedulerContract } from '../../src/core/contracts/scheduler.ts'
import type { Service } from '../../src/core/contracts/shapes.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import { type Contract, call, cast, type Methods } from '../../src/core/rpc/contract.ts'
import { startComputeHosts } from '../../src/daemons/compute.ts'
import { openState, startConductor } from '../../src/daemons/conductor.ts'
import type { Runtime } from '../../src/daemons/runtime.ts'
import { type Json, keptBy, previous } from '../core/contracts/recorded.ts'
import { recorder } from '../core/rpc/kit.ts'
import { admin, type Backend, backends, Cloud } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'

const settings = {
  NOVA_COMPUTE_DRIVER: 'fake',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.3',
  NOVA_OPERATIONS_SWEEP_SECONDS: '0.3',
}
/** The version of all contracts before. */
const before = '2.0'

/** A contract as a daemon of before has it: it knows no more, and passes over what is more. */
function then(contract: Contract): Contract {
  const record = previous(contract.topic)
  if (!record) return contract
  const reading = (schema: Json) => z.unknown().transform((said) => keptBy(schema, said))
  const methods = Object.entries(record.methods).map(([name, { kind, args, result }]) => [
    name,
    kind === 'call' && result ? call(reading(args), reading(result)) : cast(reading(args)),
  ])
  return { ...contract, version: record.version, methods: Object.fromEntries(methods) as Methods }
}

/** What a daemon of before says of the contracts that it speaks. */
const spoken = (said: unknown): unknown => {
  const { contracts } = said as { contracts?: object }
  if (contracts === undefined) return said
  return { ...(said as object), contracts: Object.fromEntries(Object.keys(contracts).map((topic) => [topic, before])) }
}

/** The bus as a daemon of before has it: its messages, and its answers, have what they had then and no more. */
function aged(bus: Bus): Bus {
  const answering = ({ topic }: Contract, api: object) =>
    Object.fromEntries(
      Object.entries(api).map(([name, run]) => {
        const schema = previous(topic)?.methods[name]?.result
        const answer = async (ctx: unknown, args: unknown) => {
          const result = await Reflect.apply(run as () => unknown, api, [ctx, args])
          return schema ? keptBy(schema, spoken(result)) : result
        }
        return [name, answer]
      }),
    )
  const asking = ({ topic }: Contract, api: object) =>
    Object.fromEntries(
      Object.entries(api).map(([name, ask]) => {
        const schema = previous(topic)?.methods[name]?.args
        const say = (ctx: unknown, args: unknown, ...more: unknown[]) =>
          Reflect.apply(ask as () => unknown, api, [ctx, schema ? keptBy(schema, spoken(args)) : args, ...more])
        return [name, say]
      }),
    )
  return {
    ...bus,
    client: (contract, target) => {
      const { cap: _, ...plain } = target ?? {}
      return asking(contract, bus.client(then(contract), plain)) as never
    },
    serve: (services, options) =>
      bus.serve(
        services.map(({ contract, api }) => ({ contract: then(contract), api: answering(contract, api) as never })),
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

  const die = (e: unknown) => {
    throw e
  }

  /** What a daemon is given that runs in this process, and what it logs. */
  async function runtime(): Promise<{ runtime: Runtime; refused: () => unknown[] }> {
    const { log, lines } = recorder()
    const config = await loadConfig({ env: cloud.env })
    const refused = () =>
      lines.filter(({ code, why }) => code === 'UnsupportedVersion' || /speaks version/.test(`${why}`))
    return {
      runtime: { config, log, clock: systemClock, ids: systemIds, onStop: (fn) => undo.push(fn), die },
      refused,
    }
  }

  /** An instance is booted and paused, and the cloud asked for all of it, in words of before. */
  async function works(bus: Bus): Promise<string> {
    const api = aged(bus).client(conductor)
    const image = systemIds.hex()
    const made = await cloud.nova('image', 'create', image, '--disk', import.meta.filename, '--disk-format', 'raw')
    expect(made).toMatchObject({ code: 0 })
    const { begun } = await api.boot(admin(), { name: systemIds.hex(), image, flavor: 'm1.nano' })
    const { operation, instance } = begun[0]!
    expect(await endOf(api, operation)).toMatchObject({ state: 'succeeded' })
    const paused = await api.begin(admin(), { instance: instance.id, kind: 'pause' })
    expect(await endOf(api, paused.operation)).toMatchObject({ state: 'succeeded' })
    expect(await api.instanceShow(admin(), { instance: instance.id })).toMatchObject({ status: 'PAUSED' })
    expect((await api.status(admin(), {})).hosts).toMatchObject({ up: 1 })
    expect((await api.hostList(admin(), {})).hosts).toMatchObject([{ state: 'up' }])
    return instance.id
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
    const instance = await works(bus)
    expect(host.refused()).toEqual([])
    const { compute, conductor: there, scheduler } = await services()
    expect(compute).toMatchObject({ state: 'up', contracts: { compute: before }, unresponsive: false })
    expect(there).toMatchObject({ contracts: { agent: agent.version }, unresponsive: false })
    expect(scheduler).toMatchObject({ contracts: { scheduler: schedulerContract.version }, unresponsive: false })

    // What that host does not know is refused at once, and nothing of it goes there.
    const api = await cloud.conductor()
    const unpaused = await api.begin(admin(), { instance, kind: 'unpause' })
    expect(await endOf(api, unpaused.operation)).toMatchObject({ state: 'succeeded' })
    await expect(api.begin(admin(), { instance, kind: 'migrate' })).rejects.toMatchObject({
      code: 'UnsupportedVersion',
      message: `compute.host does not know "migrate" on host: it speaks version ${before}, and 2.1 is needed.`,
      hint: expect.stringContaining('Update compute.host.'),
    })
    const shown = await api.instanceShow(admin(), { instance })
    expect(shown).toMatchObject({ status: 'ACTIVE', host: 'host' })
    expect(shown.task).toBeUndefined()

    await cloud.daemon('compute', { NOVA_COMPUTE_HOST: 'today' })
    const image = shown.imageId
    const { begun } = await api.boot(admin(), { name: 'b', image, flavor: 'm1.nano', availabilityZone: ':today' })
    const { operation, instance: second } = begun[0]!
    expect(await endOf(api, operation)).toMatchObject({ state: 'succeeded', host: 'today' })
    for (const args of [{}, { host: 'host' }]) {
      const moving = await api.begin(admin(), { instance: second.id, kind: 'migrate', args })
      const ended = await endOf(api, moving.operation)
      expect(ended).toMatchObject({ state: 'failed', fault: { code: 'NoValidHost' } })
      expect(ended.steps.map(({ host }) => host)).not.toContain('host')
    }
    const { decision } = await api.explain(admin(), { instance: second.id })
    expect(decision?.hosts).toContainEqual(
      expect.objectContaining({
        host: 'host',
        filter: 'knows-kind',
        reason: `its daemon speaks version ${before}, 2.1 is needed: update it`,
      }),
    )
    expect(await api.instanceShow(admin(), { instance: second.id })).toMatchObject({ status: 'ACTIVE', host: 'today' })
    expect(host.refused()).toEqual([])
  })

  test('a host of today with a conductor of before, and after that is updated', async () => {
    cloud = await Cloud.open(backend, settings)
    if (backend === 'embedded') await cloud.daemon('broker')
    const bus = await cloud.bus()
    const old = await runtime()
    await startConductor(old.runtime, aged(bus), await openState(old.runtime))
    await cloud.daemon('scheduler')
    await cloud.daemon('compute')
    const instance = await works(bus)
    expect(old.refused()).toEqual([])
    const migrate = bus.client(conductor).begin(admin(), { instance, kind: 'migrate' })
    await expect(migrate).rejects.toMatchObject({
      code: 'UnsupportedVersion',
      message: `conductor speaks version ${before}, but the message has version 2.1.`,
      hint: expect.stringContaining('Update the older side'),
    })
    for (const fn of undo.splice(0).reverse()) await fn()

    await cloud.daemon('conductor')
    await works(bus)
    const told = await persist(async () => {
      const { compute } = await services()
      if (compute?.contracts?.compute !== computeContract.version) throw new Error('not told yet')
      return compute
    })
    expect(told).toMatchObject({
      contracts: { compute: computeContract.version },
      unresponsive: false,
      lastPongAt: expect.any(Number),
    })
  })
})
