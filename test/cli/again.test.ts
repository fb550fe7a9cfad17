import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { askAgain, mayRepeat } from '../../src/cli/again.ts'
import { systemClock } from '../../src/core/base/clock.ts'
import { Failure } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { conductor } from '../../src/core/contracts/conductor.ts'
import { ids, type StandIn, startStandIn } from './stand-in.ts'

const down = new Failure('DatabaseDown', { why: 'connection refused' })
const late = new Failure('CallTimeout', { target: 'conductor', method: 'boot', seconds: 60 })
const busy = new Failure('InstanceBusy', { name: 'web', task: 'pausing', operation: ids.pause })

/** Asks with a clock that stands still but for the waiting; each answer in turn, the last one for ever. */
async function asked(answers: readonly (Failure | string)[], until?: number) {
  let now = 1_000
  let count = 0
  const said: string[] = []
  const clock = {
    ...systemClock,
    now: () => now,
    sleep: async (ms: number) => {
      now += ms
    },
  }
  const ask = async () => {
    const answer = answers[Math.min(count++, answers.length - 1)]!
    if (typeof answer === 'string') return answer
    throw answer
  }
  const outcome = await askAgain({ clock, ids: systemIds, until }, ask, async (what) => {
    said.push(what)
  }).catch((e: unknown) => e)
  return { outcome, count, said, tookMs: now - 1_000 }
}

describe('a question with an unclear answer', () => {
  test('is asked again until it is answered, and a person hears why', async () => {
    expect(await asked([down, late, 'begun'])).toMatchObject({
      outcome: 'begun',
      count: 3,
      said: ['waiting for the database …', 'waiting for an answer …'],
    })
  })
  test('is asked no more after ten seconds, or where the patience of the caller ends', async () => {
    const { outcome, tookMs, count } = await asked([late, down])
    expect(outcome).toBe(late)
    expect(count).toBeGreaterThan(4)
    expect([tookMs > 4_000, tookMs < 10_000]).toEqual([true, true])
    expect((await asked([down], 1_500)).tookMs).toBeLessThan(500)
  })
  test('is not asked again once it is refused', async () => {
    expect(await asked([busy, 'begun'])).toMatchObject({ outcome: busy, count: 1, said: [] })
    expect(await asked([down, busy, 'begun'])).toMatchObject({ outcome: busy, count: 2 })
  })
  test('may come twice if it only reads or has a key', () => {
    const once = Object.entries(conductor.methods).filter(([, method]) => !mayRepeat(method, {}))
    expect(once.map(([name]) => name).sort()).toEqual([
      ...['begin', 'boot', 'busPurge', 'flavorCreate', 'flavorDelete', 'hostAcceptCapacity', 'hostAdd', 'hostDelete'],
      ...['hostSet', 'imageCreate', 'imageDelete', 'imageWrite', 'instanceRename', 'operationCancel', 'operationRetry'],
      ...['quotaSet', 'serviceSet'],
    ])
    expect(mayRepeat(conductor.methods.boot, { idempotencyKey: 'k' })).toBe(true)
  })
})

describe('a database that is away for a moment', () => {
  let standIn: StandIn
  beforeAll(async () => {
    standIn = await startStandIn()
  })
  afterAll(() => standIn.close())

  test('is no failure of a command, and the same key comes again', async () => {
    let times = 0
    standIn.answers = {
      begin: async () => {
        if (times++ < 2) throw down
        return { operation: ids.pause, instance: { id: ids.web, name: 'web' } }
      },
      flavorDelete: async () => {
        throw down
      },
    }
    expect(await standIn.nova(['pause', 'web'])).toMatchObject({ code: 0, stderr: '' })
    const keys = standIn.asked.map(({ args }) => (args as { idempotencyKey: string }).idempotencyKey)
    expect([keys.length, new Set(keys).size]).toEqual([3, 1])

    standIn.asked.length = 0
    expect(await standIn.nova(['flavor', 'delete', 'x'])).toMatchObject({ code: 1 })
    expect(standIn.asked).toHaveLength(1)
  })
})
