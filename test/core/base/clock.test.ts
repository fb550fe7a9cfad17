import { expect, test } from 'vitest'
import { every, systemClock } from '../../../src/core/base/clock.ts'

test('sleep ends at once when its signal aborts', async () => {
  const stop = new AbortController()
  const slept = systemClock.sleep(60_000, stop.signal)
  stop.abort()
  await slept
  await systemClock.sleep(60_000, stop.signal)
})

test('many sleep on one signal, and Node takes none of them for a leak', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => warnings.push(warning)
  process.on('warning', onWarning)
  const stop = new AbortController()
  const slept = Promise.all(Array.from({ length: 20 }, () => systemClock.sleep(60_000, stop.signal)))
  // Warnings come in a tick of their own.
  await new Promise((resolve) => setImmediate(resolve))
  stop.abort()
  await slept
  process.off('warning', onWarning)
  expect(warnings).toEqual([])
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
