import { afterAll, beforeAll, expect, test } from 'vitest'
import { admin, backends, Cloud } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'
import { type PrivateRabbit, privateRabbit } from '../kit/private-rabbitmq.ts'

/** `rabbitmqctl stop_app; reset; start_app` under 100 boots: every queue and message is lost, and no boot is. */
const boots = 100

if ((await backends()).includes('services')) {
  let rabbit: PrivateRabbit | undefined
  let cloud: Cloud
  beforeAll(async () => {
    rabbit = await privateRabbit()
    cloud = await Cloud.open('services', {
      NOVA_BUS_URL: rabbit?.url ?? '',
      NOVA_FAKE_LATENCY_MS: '100',
      NOVA_FAKE_HOSTS: '5',
      NOVA_OPERATIONS_LEASE_SECONDS: '3',
      NOVA_OPERATIONS_SWEEP_SECONDS: '0.5',
      NOVA_OPERATIONS_RESEND_SECONDS: '0.5',
      NOVA_LOG_LEVEL: 'warn',
    })
    await cloud.up('--driver', 'fake')
  }, 120_000)
  afterAll(async () => {
    await cloud?.close()
    await rabbit?.stop()
  }, 60_000)

  test(`${boots} boots survive a wiped RabbitMQ`, { timeout: 180_000 }, async () => {
    const api = await cloud.conductor()
    /** A boot whose answer was lost is asked for again under its key, as any careful client does. */
    const boot = async (name: string): Promise<string> => {
      const ask = () => api.boot(admin(), { name, idempotencyKey: name }, { timeoutMs: 5000 })
      return (await persist(ask)).begun[0]?.operation ?? ''
    }
    // The wipe comes when the first guests start, and finds boots in every step.
    const bus = await cloud.bus()
    const first = new Promise<void>((resolve) => {
      void bus.subscribe(['instance.create.end.#'], () => resolve())
    })
    const asked = Promise.all(Array.from({ length: boots }, (_, i) => boot(`m${i}`)))
    await first
    await rabbit?.wipe()
    const operations = await asked
    for (const id of operations) expect(await endOf(api, id)).toMatchObject({ state: 'succeeded' })
    expect(new Set(operations).size).toBe(boots)
    const { instances } = await api.instanceList(admin(), { limit: 1000 })
    expect(instances.filter((row) => row.status !== 'ACTIVE' || row.task !== undefined)).toEqual([])
    expect(instances).toHaveLength(boots)
  })
} else
  test('a wiped RabbitMQ cannot be tried without RabbitMQ', () =>
    expect(process.env.NOVA_REQUIRE ?? '').not.toContain('rabbitmq'))
