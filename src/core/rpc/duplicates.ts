/** The ids of handled messages: at least the last `limit` of them, and fewer than twice as many. */
export type Duplicates = {
  has(id: string): boolean
  add(id: string): void
}

/** In memory only: a process that restarts knows none, so operations themselves must tolerate a duplicate. */
export function rememberLast(limit: number): Duplicates {
  // Whole sets are dropped: removing the oldest id one at a time cost more than all else that a server does with a
  // message.
  let older = new Set<string>()
  let newer = new Set<string>()
  return {
    has: (id) => newer.has(id) || older.has(id),
    add(id) {
      if (newer.size >= limit && !newer.has(id)) {
        older = newer
        newer = new Set()
      }
      newer.add(id)
    },
  }
}
