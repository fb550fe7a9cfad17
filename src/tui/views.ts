import type { Event, Host, InstanceSummary, OperationSummary } from '../core/contracts/shapes.ts'
import { healthOf } from '../core/model/health.ts'
import { type Column, eventColumns, hostColumns, instanceColumns, operationColumns } from './columns.ts'
import { type CloudModel, newestFirst } from './model.ts'

/** A list that can be shown: the source of its rows, and the text that a filter searches. */
export type List<T> = {
  readonly columns: readonly Column<T>[]
  readonly rows: (world: CloudModel) => readonly T[]
  readonly idOf: (row: T) => string
  readonly words: (row: T) => ReadonlyArray<string | undefined>
}

export type Rows = { instances: InstanceSummary; hosts: Host; operations: OperationSummary; events: Event }
export type ListName = keyof Rows

export const lists: { readonly [K in ListName]: List<Rows[K]> } = {
  instances: {
    columns: instanceColumns,
    rows: ({ order, instances }) => order.map((id) => instances.get(id)!),
    idOf: (i) => i.id,
    words: (i) => [i.name, i.status, i.task, i.host, i.flavor, i.image, i.projectId, i.id],
  },
  hosts: {
    columns: hostColumns,
    rows: ({ hosts }) => hosts,
    idOf: (h) => h.name,
    words: (h) => [h.name, healthOf(h), h.status, h.availabilityZone, h.driver, h.disabledReason],
  },
  operations: {
    columns: operationColumns,
    rows: ({ operations }) => [...operations.values()].sort(newestFirst),
    idOf: (o) => o.id,
    words: (o) => [o.kind, o.state, o.subject.name, o.step, o.host, o.id, o.subject.id, o.fault?.message],
  },
  events: {
    columns: eventColumns,
    rows: ({ events }) => [...events.values()].sort((a, b) => b.id - a.id),
    idOf: (e) => String(e.id),
    words: (e) => [e.type, e.instanceName, e.host, e.message, e.instanceId, e.operationId],
  },
}

/** The views, in the order of the keys 1 to 5. */
export const viewNames = ['overview', 'instances', 'hosts', 'operations', 'events'] as const
export type ViewName = (typeof viewNames)[number]

/** The rows that contain every word of the filter; `!word` must not occur. Case is ignored. */
function filtered<T>(list: List<T>, rows: readonly T[], filter: string): readonly T[] {
  const wanted = filter.toLowerCase().split(/\s+/).filter(Boolean)
  if (wanted.length === 0) return rows
  return rows.filter((row) => {
    const text = list.words(row).join('\n').toLowerCase()
    return wanted.every((word) =>
      word.length > 1 && word.startsWith('!') ? !text.includes(word.slice(1)) : text.includes(word),
    )
  })
}

/** The filtered rows, cached until the model or the filter changes: frames are drawn more often than that. */
export function rowKeeper(world: CloudModel) {
  const taken = new Map<ListName, { revision: number; filter: string; rows: readonly unknown[] }>()
  return <K extends ListName>(name: K, filter: string): readonly Rows[K][] => {
    const before = taken.get(name)
    if (before && before.revision === world.revision && before.filter === filter)
      return before.rows as readonly Rows[K][]
    const list = lists[name] as List<Rows[K]>
    const rows = filtered(list, list.rows(world), filter)
    taken.set(name, { revision: world.revision, filter, rows })
    return rows
  }
}
