import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFailure } from '../../src/core/base/errors.ts'
import { admin, backends, Cloud } from '../kit/cloud.ts'
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
      for (;;) {
        try {
          return (
            (await api.boot(admin(), { name, idempotencyKey: name }, { timeoutMs: 5000 })).begun[0]?.operation ?? ''
          )
        } catch (e) {
          if (!isFailure(e, 'BusDown') && !isFailure(e, 'HostUnreachable') && !isFailure(e, 'CallTimeout')) throw e
          await new Promise((resolve) => setTimeout(resolve, 100))
        }
      }
    }
    const asked = Promise.all(Array.from({ length: boots }, (_, i) => boot(`m${i}`)))
    await new Promise((resolve) => setTimeout(resolve, 300))
    await rabbit?.wipe()
    const operations = await asked
    for (const id of operations) {
      const ended = await cloud.nova('operation', 'follow', id)
      expect(ended).toMatchObject({ code: 0 })
    }
    expect(new Set(operations).size).toBe(boots)
    const { instances } = await api.instanceList(admin(), { limit: 1000 })
    expect(instances.filter((row) => row.status !== 'ACTIVE' || row.task !== undefined)).toEqual([])
    expect(instances).toHaveLength(boots)
  })
} else
  test('a wiped RabbitMQ cannot be tried without RabbitMQ', () =>
    expect(process.env.NOVA_REQUIRE ?? '').not.toContain('rabbitmq'))
