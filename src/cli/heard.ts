import type { Published } from '../core/contracts/shapes.ts'
import type { Context } from '../core/model/context.ts'
import type { Bus } from '../core/rpc/bus.ts'

/**
 * The bus as a caller may see it: administrators see every event; others see those of their project, without the host.
 * The conductor applies the same rules to its answers, and only the conductor enforces them.
 */
export function heardBy({ isAdmin, projectId }: Pick<Context, 'isAdmin' | 'projectId'>, bus: Bus): Bus {
  if (isAdmin) return bus
  const subscribe: Bus['subscribe'] = (patterns, hear) =>
    bus.subscribe(patterns, ({ key, body }) => {
      const { host, ...event } = body as Published
      const isOfHost = host !== undefined && event.instanceId === undefined && event.operationId === undefined
      if (event.projectId === projectId && !isOfHost) hear({ key, body: event })
    })
  return Object.assign(Object.create(bus) as Bus, { subscribe })
}
