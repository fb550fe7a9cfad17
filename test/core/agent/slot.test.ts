import { expect, test } from 'vitest'
import { Slot } from '../../../src/core/agent/slot.ts'
import { deferred, Semaphore } from '../../../src/core/base/concurrency.ts'

test('work without a slot lets others go on, and has the slot again when it is done, also if it fails', async () => {
  const slots = new Semaphore(1)
  const { signal } = new AbortController()
  const [slow, other] = [new Slot(slots, signal), new Slot(slots, signal)]
  const checked = deferred()
  await slow.take()
  const work = slow.without(async () => {
    await checked.promise
    throw new Error('damaged')
  })
  await other.take()
  checked.resolve()
  let over = false
  const ended = work.catch((e: unknown) => e).finally(() => (over = true))
  await new Promise(setImmediate)
  expect(over).toBe(false)
  other.free()
  expect(await ended).toMatchObject({ message: 'damaged' })
  const third = new AbortController()
  const waits = slots.acquire(third.signal).catch((e: unknown) => e)
  third.abort(new Error('it is held'))
  expect(await waits).toMatchObject({ message: 'it is held' })
  slow.free()
  await other.take()
})
