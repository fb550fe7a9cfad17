import { expect, test, vi } from 'vitest'
import type { InstanceSummary } from '../../src/core/contracts/shapes.ts'
import { webSummary } from '../cli/stand-in.ts'
import { noon, stillFeed } from './still.ts'

test('an answer that was on its way while something happened does not make it undone', async () => {
  let answer = (_rows: { instances: InstanceSummary[] }): void => undefined
  const { feed, asked, describe } = await stillFeed({
    instanceList: ({ ids }) =>
      ids === undefined
        ? { instances: [] }
        : new Promise((resolve) => {
            answer = resolve
          }),
  })
  try {
    await vi.waitFor(() => expect(feed.health.complete).toBe(true))
    const { id, name } = webSummary
    const about = { instanceId: id, instanceName: name, operationId: '77777777-7777-4777-8777-777777777777' }
    const boot = { kind: 'boot', attempt: 1 } as const
    describe({ ...about, type: 'instance.create.start', status: 'BUILD', operation: { ...boot, state: 'queued' } })
    const question = expect.objectContaining({ method: 'instanceList', args: expect.objectContaining({ ids: [id] }) })
    await vi.waitFor(() => expect(asked).toContainEqual(question))
    // The conductor has read the row; the boot ends before its answer is here.
    const read: InstanceSummary = { ...webSummary, status: 'BUILD', task: 'spawning' }
    describe({
      ...about,
      type: 'instance.create.end',
      status: 'ACTIVE',
      at: noon,
      operation: { ...boot, state: 'succeeded' },
    })
    answer({ instances: [read] })
    await vi.waitFor(() => expect(feed.world.instances.get(id)?.flavor).toBe(webSummary.flavor))
    const seen = feed.world.instances.get(id)
    expect(seen?.status).toBe('ACTIVE')
    expect(seen?.task).toBeUndefined()
  } finally {
    await feed.close()
  }
})
