import { expect, test } from 'vitest'
import { every, systemClock } from '../../../src/core/base/clock.ts'

test('sleep ends at once when its signal aborts', async () => {
  const stop = new AbortController()
  const slept = systemClock.sleep(60_000, stop.signal)
  stop.abort()
  await slept
  await systemClock.sleep(60_000, stop.signal)
})

test('what is done every so often goes on after a failure, and stops when told, after the run under way', async () => {
  const errors: unknown[] = []
  let runs = 0
  let third = (): void => undefined
  const reached = new Promise<void>((resolve) => {
    third = resolve
  })
  const stop = every(
    systemClock,
    1,
    async () => {
      if (++runs === 3) third()
      if (runs === 1) throw new Error('first')
    },
    (e) => errors.push(e),
  )
  await reached
  await stop()
  const then = runs
  await systemClock.sleep(20)
  expect(runs).toBe(then)
  expect(errors).toMatchObject([{ message: 'first' }])
})
