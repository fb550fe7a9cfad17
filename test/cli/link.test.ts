import { expect, test } from 'vitest'
import { visibleTo } from '../../src/cli/link.ts'
import type { Bus, Received } from '../../src/core/rpc/bus.ts'

/** A bus that is up and on which a test says what is heard. */
function quietBus() {
  let onEvent = (_event: Received): void => undefined
  const bus = {
    get up() {
      return true
    },
    subscribe: async (_patterns: readonly string[], listener: typeof onEvent) => {
      onEvent = listener
      return async () => undefined
    },
  } as unknown as Bus
  return { bus, describe: (body: object) => onEvent({ key: 'k', body }) }
}

test('a member hears of its own project, and of no host', async () => {
  const { bus, describe } = quietBus()
  const heard: unknown[] = []
  const own = visibleTo({ isAdmin: false, projectId: 'red' }, bus)
  await own.subscribe(['#'], ({ body }) => heard.push(body))
  describe({ type: 'instance.pause.end', projectId: 'red', instanceId: 'web', host: 'kvm1' })
  describe({ type: 'instance.pause.end', projectId: 'blue', instanceId: 'mail' })
  describe({ type: 'host.add', projectId: 'red', host: 'kvm1' })
  describe({ type: 'operation.step', projectId: 'red', operationId: 'op', host: 'kvm1' })
  describe({ type: 'flavor.create', projectId: 'red' })
  expect(heard).toEqual([
    { type: 'instance.pause.end', projectId: 'red', instanceId: 'web' },
    { type: 'operation.step', projectId: 'red', operationId: 'op' },
    { type: 'flavor.create', projectId: 'red' },
  ])
  // Everything else is the bus's own.
  expect(own.up).toBe(true)
})

test('an administrator hears everything', () => {
  const { bus } = quietBus()
  expect(visibleTo({ isAdmin: true, projectId: 'red' }, bus)).toBe(bus)
})
