import type { Message } from './message.ts'

/** A message in one queue. */
export type Entry = {
  readonly message: Message
  /** Its position in the queue: a requeued message returns to it. */
  readonly position: number
  /** When it expires, in milliseconds since the epoch; 0 for never. */
  readonly expiresAt: number
  redelivered: boolean
  next: Entry | undefined
}

/** The entries of one priority: new ones in a linked list, requeued ones in an ordered list in front of it. */
type Level = { first: Entry | undefined; last: Entry | undefined; returned: Entry[] }

/** The ready messages of a queue, oldest first within a priority, the highest priority first. */
export class ReadyList {
  readonly #levels: Level[]
  length = 0
  /** Bytes of bodies: what `x-max-length-bytes` counts. */
  bytes = 0

  constructor(maxPriority: number) {
    this.#levels = Array.from({ length: maxPriority + 1 }, () => ({ first: undefined, last: undefined, returned: [] }))
  }

  #level(entry: Entry): Level {
    return this.#levels[Math.min(entry.message.priority, this.#levels.length - 1)]!
  }

  push(entry: Entry): void {
    const level = this.#level(entry)
    if (level.last) level.last.next = entry
    else level.first = entry
    level.last = entry
    this.length++
    this.bytes += entry.message.body.length
  }

  /** Requeues entries at their positions. */
  giveBack(entries: readonly Entry[]): void {
    const touched = new Set<Level>()
    for (const entry of entries) {
      const level = this.#level(entry)
      // The next one to go is the last element: removing that is cheap.
      if (entries.length === 1) level.returned.splice(placeIn(level.returned, entry), 0, entry)
      else {
        level.returned.push(entry)
        touched.add(level)
      }
      this.length++
      this.bytes += entry.message.body.length
    }
    for (const level of touched) level.returned.sort((a, b) => b.position - a.position)
  }

  #fullest(): Level | undefined {
    for (let i = this.#levels.length - 1; i >= 0; i--) {
      const level = this.#levels[i]!
      if (level.first || level.returned.length > 0) return level
    }
    return undefined
  }

  peek(): Entry | undefined {
    const level = this.#fullest()
    return level && (level.returned.at(-1) ?? level.first)
  }

  shift(): Entry | undefined {
    const level = this.#fullest()
    if (!level) return undefined
    let entry = level.returned.pop()
    if (!entry) {
      entry = level.first!
      level.first = entry.next
      if (!level.first) level.last = undefined
      entry.next = undefined
    }
    this.length--
    this.bytes -= entry.message.body.length
    return entry
  }
}

/** The index of an entry in a list that runs from the last position to the first. */
function placeIn(returned: readonly Entry[], entry: Entry): number {
  let low = 0
  let high = returned.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (returned[middle]!.position > entry.position) low = middle + 1
    else high = middle
  }
  return low
}
