/** The ids of messages that were dealt with, the last `limit` of them. */
export type Duplicates = {
  has(id: string): boolean
  add(id: string): void
}

/** Remembers in memory: a process that restarts knows none, and the operations themselves must bear a duplicate. */
export function rememberLast(limit: number): Duplicates {
  // A Set keeps the order in which things were added, so the first is the oldest.
  const ids = new Set<string>()
  return {
    has: (id) => ids.has(id),
    add(id) {
      ids.add(id)
      if (ids.size <= limit) return
      const oldest = ids.values().next()
      if (!oldest.done) ids.delete(oldest.value)
    },
  }
}
