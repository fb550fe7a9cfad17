import { expect, test } from 'vitest'
import { emptyWorld } from '../../src/tui/model.ts'
import { problemsOf } from '../../src/tui/problems.ts'
import { anOperation, webSummary } from '../cli/stand-in.ts'

const fault = (name: string) => ({ code: 'DriverFailed', message: `${name} has no disk`, at: 0 })
const failed = (id: string, name: string, finishedAt: number) =>
  anOperation({ id, state: 'failed', finishedAt, subject: { kind: 'instance', id: name, name }, fault: fault(name) })

test('equal failures are one line, and those of deleted instances are none', () => {
  const world = emptyWorld()
  for (const name of ['a', 'b']) world.instances.set(name, { ...webSummary, id: name, name })
  for (const operation of [failed('1', 'a', 1_000), failed('2', 'b', 2_000), failed('3', 'gone', 3_000)])
    world.operations.set(operation.id, operation)
  const health = { bus: true, conductor: undefined, missed: false, queues: [] } as never
  expect(problemsOf(world, health, 5_000).map(({ text }) => text)).toEqual([
    expect.stringMatching(/^\w+ of b and 1 more failed 3s ago: b has no disk$/),
  ])
})
