import { expect, test } from 'vitest'
import { Fleet } from '../../../src/core/scheduler/fleet.ts'
import type { HostState } from '../../../src/core/scheduler/question.ts'
import { host } from './samples.ts'

const size = { vcpus: 1, memoryMb: 1024, diskGb: 5 }

/** A database that answers when it is told to. */
function slowReads() {
  const waiting: Array<(answer: HostState[] | Error) => void> = []
  const fleet = new Fleet(
    () =>
      new Promise((resolve, reject) => {
        waiting.push((answer) => (answer instanceof Error ? reject(answer) : resolve(answer)))
      }),
  )
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  return {
    fleet,
    begun: () => waiting.length,
    turn,
    async answer(answer: HostState[] | Error) {
      await turn()
      waiting.shift()?.(answer)
      await turn()
    },
  }
}

test('placements that wait together share one read; one that comes during a read waits for the next', async () => {
  const { fleet, begun, answer, turn } = slowReads()
  const early = [fleet.look(), fleet.look(), fleet.look()]
  await turn()
  const late = [fleet.look(), fleet.look()]
  await turn()
  expect(begun()).toBe(1)
  await answer([host()])
  await answer([host(), host({ name: 'h2' })])
  expect((await Promise.all(early)).map((view) => view.read.length)).toEqual([1, 1, 1])
  expect((await Promise.all(late)).map((view) => view.read.length)).toEqual([2, 2])
  expect(begun()).toBe(0)
})

test('a failed read fails those who waited for it, and nobody after', async () => {
  const { fleet, answer, turn } = slowReads()
  const failing = expect(fleet.look()).rejects.toThrow('gone')
  await turn()
  const next = fleet.look()
  await answer(new Error('gone'))
  await failing
  await answer([host()])
  expect((await next).read).toHaveLength(1)
})

test('what is being taken shows at once, and until a read covers it', async () => {
  let rows = [host()]
  const fleet = new Fleet(async () => rows)
  const view = await fleet.look()
  const kept = fleet.reserve('h1', size)
  const lost = fleet.reserve('h1', size)
  expect(view.current()[0]).toMatchObject({ used: { vcpus: 2, memoryMb: 2048, diskGb: 10 }, instances: 2 })
  expect(view.read[0]).toMatchObject({ used: { memoryMb: 0 }, instances: 0 })

  fleet.cancel(lost)
  expect(view.current()[0]).toMatchObject({ used: { memoryMb: 1024 }, instances: 1 })

  expect((await fleet.look()).current()[0]?.instances).toBe(1)
  fleet.commit(kept)
  rows = [host({ used: size, instances: 1 })]
  expect((await fleet.look()).current()).toEqual(rows)
})
