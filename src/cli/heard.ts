import type { Published } from '../core/contracts/shapes.ts'
import type { Context } from '../core/model/context.ts'
import type { Bus } from '../core/rpc/bus.ts'

/**
 * The bus as a caller hears it: administrators every event; others those of their project, without the host. What
 * conductors answer obeys the same rules, and they make them.
 */
export function heardBy({ isAdmin, projectId }: Pick<Context, 'isAdmin' | 'projectId'>, bus: Bus): Bus {
  if (isAdmin) return bus
  const subscribe: Bus['subscribe'] = (patterns, hear) =>
    bus.subscribe(patterns, ({ key, body }) => {
      const { host, ...event } = body as Published
      const isOfHost = host !== undefined && event.instanceId === undefined
      if (event.projectId === projectId && !isOfHost) hear({ key, body: event })
    })
  return Object.assign(Object.create(bus) as Bus, { subscribe })
}
