import { beforeEach, describe, expect, test } from 'vitest'
import { type Clock, systemClock } from '../../../src/core/base/clock.ts'
import { type Hearing, hearsTooShort, openHearing } from '../../../src/core/service/hearing.ts'

describe('a process that hears others', () => {
  let now: number
  let busBackAt: number | undefined
  let hearing: Hearing
  const clock: Clock = { ...systemClock, now: () => now }
  beforeEach(() => {
    now = 1_000_000
    busBackAt = undefined
    hearing = openHearing(clock, { heartbeatSeconds: 10, serviceDownTime: 30 }, () => busBackAt, 500)
  })
  const pass = (seconds: number) => {
    now += seconds * 1000
  }
  const beats = (times: number) => {
    for (let n = 0; n < times; n++) {
      pass(10)
      hearing.beat()
    }
  }

  test('hears since it began, as long as its heartbeats reach the database', () => {
    beats(10)
    expect(hearing.since()).toBe(500)
    pass(19)
    expect(hearing.since()).toBe(500)
  })

  test('hears nobody while they do not, and anew from the first one after a break', () => {
    beats(1)
    pass(21)
    expect(hearing.since()).toBe(now)
    pass(100)
    expect(hearing.since()).toBe(now)
    hearing.beat()
    const back = now
    beats(3)
    expect(hearing.since()).toBe(back)
  })

  test('hears anew when its link to the bus is back', () => {
    beats(3)
    busBackAt = now
    beats(2)
    expect(hearing.since()).toBe(busBackAt)
  })

  test('takes nobody for down before it has heard for as long as a service may be silent', () => {
    beats(3)
    busBackAt = now
    const tooShort = () => hearsTooShort(hearing, { now, downMs: 30_000 })
    expect(tooShort()).toBe(true)
    beats(3)
    expect(tooShort()).toBe(false)
  })
})
