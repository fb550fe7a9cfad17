import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { conductor } from '../../src/core/contracts/conductor.ts'
import type { Operation, Published } from '../../src/core/contracts/shapes.ts'
import { type Kind, kindOf, type OperationKind } from '../../src/core/model/operation.ts'
import type { Bus } from '../../src/core/rpc/bus.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { admin, type Backend, backends, Cloud, type Daemon } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'
import { type PrivateRabbit, privateRabbit } from '../kit/private-rabbitmq.ts'

/**
 * Invariant I2: SIGKILL to any daemon, or to the broker, at each named step of boot, pause, delete and migrate. Every
 * operation ends as it was asked for, after a restart. Real processes, two hosts; the fake hypervisor is slow enough to be
 * caught in each step.
 */
const settings = {
  NOVA_COMPUTE_DRIVER: 'fake',
  NOVA_FAKE_LATENCY_MS: '120',
  NOVA_OPERATIONS_LEASE_SECONDS: '2',
  NOVA_OPERATIONS_SWEEP_SECONDS: '0.3',
  NOVA_OPERATIONS_RESEND_SECONDS: '0.5',
  NOVA_SERVICES_HEARTBEAT_SECONDS: '0.5',
  NOVA_SERVICES_SERVICE_DOWN_TIME: '20',
  NOVA_COMPUTE_REPORT_SECONDS: '2',
}
/** The host on which all instances begin, and the one that they migrate to. */
const hosts = ['here', 'there'] as const
const daemons = ['conductor', 'scheduler', ...hosts] as const
const victims = ['broker', ...daemons] as const
type Victim = (typeof victims)[number]
const kinds = ['boot', 'pause', 'delete', 'migrate'] as const
/** How an operation ended, for whoever reads that a test has failed. */
const told = ({ fault, steps }: Operation): string => JSON.stringify({ fault, steps })
/** Only hosts tell that they have come to a step. */
const isTold = ({ at }: Kind['steps'][number]): boolean => at !== 'scheduler' && at !== 'conductor'
const isTwoHosted = (kind: OperationKind): boolean => kindOf(kind).steps.some(({ at }) => at === 'target')
/** Whom to kill when: `asked`, before anybody took it; then at each of its steps. */
const cases = kinds.flatMap((kind) => {
  const moments = [
    'asked',
    ...kindOf(kind)
      .steps.filter(isTold)
      .map(({ name }) => name),
  ]
  const whom = victims.filter((victim) => victim !== 'there' || isTwoHosted(kind))
  return moments.flatMap((moment) =>
    whom.map((victim) => ({ kind, moment, victim, name: `${kind}-${moment}-${victim}` })),
  )
})

class Fleet {
  readonly cloud: Cloud
  readonly #rabbit: PrivateRabbit | undefined
  readonly #running = new Map<string, Daemon>()

  private constructor(cloud: Cloud, rabbit: PrivateRabbit | undefined) {
    this.cloud = cloud
    this.#rabbit = rabbit
  }

  static async start(backend: Backend): Promise<Fleet> {
    const rabbit = backend === 'services' ? await privateRabbit() : undefined
    const fleet = new Fleet(
      await Cloud.open(backend, { ...settings, ...(rabbit ? { NOVA_BUS_URL: rabbit.url } : {}) }),
      rabbit,
    )
    for (const name of rabbit ? daemons : victims) await fleet.start(name)
    return fleet
  }

  async start(name: Victim): Promise<void> {
    const isHost = hosts.some((host) => host === name)
    const daemon = isHost ? this.cloud.daemon('compute', { NOVA_COMPUTE_HOST: name }) : this.cloud.daemon(name)
    this.#running.set(name, await daemon)
  }

  async killAndRestart(victim: Victim): Promise<void> {
    if (victim === 'broker' && this.#rabbit) {
      await this.#rabbit.kill()
      await this.#rabbit.start()
    } else {
      await this.#running.get(victim)?.kill()
      await this.start(victim)
    }
  }

  async close(): Promise<void> {
    await this.cloud.close()
    await this.#rabbit?.stop()
  }
}

for (const backend of await backends())
  describe(`SIGKILL at each step (${backend})`, () => {
    let fleet: Fleet
    let bus: Bus
    let api: Api<typeof conductor>

    beforeAll(async () => {
      fleet = await Fleet.start(backend)
      bus = await fleet.cloud.bus()
      api = bus.client(conductor)
      const image = await fleet.cloud.nova(
        'image',
        'create',
        'tiny',
        '--disk',
        process.execPath,
        '--disk-format',
        'raw',
      )
      expect(image).toMatchObject({ code: 0 })
      // All at once, while nobody is killed: what is booted one by one costs each case a second.
      const needed = cases.filter(({ kind }) => kind !== 'boot')
      const booted = await Promise.all(needed.map(({ name }) => bootOne(name)))
      for (const id of booted) expect(await ended(id)).toMatchObject({ state: 'succeeded' })
    }, 120_000)
    afterAll(() => fleet?.close(), 120_000)

    const ended = (id: string) => endOf(api, id)
    const bootOne = async (name: string): Promise<string> => {
      const { begun } = await persist(() =>
        api.boot(
          admin(),
          { name, image: 'tiny', flavor: 'm1.nano', availabilityZone: ':here', idempotencyKey: name },
          { timeoutMs: 3000 },
        ),
      )
      return begun[0]?.operation ?? ''
    }

    const beginOne = async (name: string, kind: Exclude<(typeof kinds)[number], 'boot'>): Promise<string> => {
      const ask = () =>
        api.begin(admin(), { instance: name, kind, idempotencyKey: `${kind}-${name}` }, { timeoutMs: 3000 })
      return (await persist(ask)).operation
    }

    test.each(cases)(
      '$kind survives the death of the $victim at "$moment"',
      { timeout: 60_000 },
      async ({ kind, moment, victim, name }) => {
        const law = kindOf(kind)
        let strike = (): void => undefined
        const reached = new Promise<void>((resolve) => {
          strike = resolve
        })
        const stop = await bus.subscribe([`instance.${law.event}.start.#`, 'operation.step.#'], ({ key, body }) => {
          const { instanceName, operation } = body as Published
          const now = key.startsWith('operation.step') ? operation?.step : 'asked'
          if (instanceName === name && now === moment) strike()
        })
        // Not awaited: the answer may be lost with whom we kill, and is asked for again then.
        const asked = kind === 'boot' ? bootOne(name) : beginOne(name, kind)
        await Promise.race([reached, asked.then(() => reached)])
        await fleet.killAndRestart(victim)
        await stop().catch(() => undefined)

        const outcome = await ended(await asked)
        expect(outcome, told(outcome)).toMatchObject({ state: 'succeeded', kind })
        if (kind === 'delete') {
          await expect(persist(() => api.instanceList(admin(), { name }))).resolves.toMatchObject({ instances: [] })
        } else {
          const shown = await persist(() => api.instanceShow(admin(), { instance: name }))
          expect(shown).toMatchObject({
            status: law.to === 'before' ? 'ACTIVE' : law.to,
            host: isTwoHosted(kind) ? 'there' : 'here',
          })
          expect(shown.task).toBeUndefined()
        }
      },
    )

    test('afterwards nothing is open, and the used capacity is the sum over the instances', async () => {
      expect(await persist(() => api.operationList(admin(), { open: true }))).toEqual({ operations: [] })
      await persist(async () => {
        const { instances } = await api.instanceList(admin(), {})
        const counted = (await api.hostList(admin(), {})).hosts.map(({ name, instances }) => [name, instances])
        // What a host had to leave behind it cleans up soon.
        expect(counted).toEqual(hosts.map((name) => [name, instances.filter(({ host }) => host === name).length]))
      })
    })
  })
