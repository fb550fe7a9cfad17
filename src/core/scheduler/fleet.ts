import type { Size } from '../model/instance.ts'
import type { HostState } from './question.ts'

/** Room on a host that this process is taking, or has taken since the hosts were last read. */
type Reservation = { readonly host: string; readonly size: Size; committed: boolean }

/** The hosts as one read found them. */
export type View = {
  /** As the database had them: what may be concluded from. */
  readonly read: readonly HostState[]
  /** With what this process is taking just now: placements side by side see one another, and spread. */
  current(): readonly HostState[]
}

/**
 * The hosts, read once for all placements that wait at the same time, with what this process is taking subtracted. It
 * only spares reads and conflicts; whether there is room is for the guarded update in the database to say.
 */
export class Fleet {
  readonly #read: () => Promise<HostState[]>
  readonly #reservations = new Set<Reservation>()
  #last: Promise<unknown> = Promise.resolve()
  #next: Promise<View> | undefined

  constructor(read: () => Promise<HostState[]>) {
    this.#read = read
  }

  /** The hosts as they were at some moment after this call: a read under way is too old, the next one is shared. */
  look(): Promise<View> {
    if (!this.#next) {
      this.#next = this.#lookAfter(this.#last)
      this.#last = this.#next.catch(() => undefined)
    }
    return this.#next
  }

  async #lookAfter(turn: Promise<unknown>): Promise<View> {
    await turn
    this.#next = undefined
    const covered = [...this.#reservations].filter(({ committed }) => committed)
    const read = await this.#read()
    for (const reservation of covered) this.#reservations.delete(reservation)
    return { read, current: () => this.#less(read) }
  }

  /** Counts room as taken, before the database is asked for it. */
  reserve(host: string, size: Size): Reservation {
    const reservation = { host, size, committed: false }
    this.#reservations.add(reservation)
    return reservation
  }

  /** The database has granted it: the next read covers it. */
  commit(reservation: Reservation): void {
    reservation.committed = true
  }

  /** It came to nothing. */
  cancel(reservation: Reservation): void {
    this.#reservations.delete(reservation)
  }

  #less(hosts: readonly HostState[]): readonly HostState[] {
    if (this.#reservations.size === 0) return hosts
    const taken = new Map<string, { used: Size; instances: number }>()
    for (const { host, size } of this.#reservations) {
      const { used, instances } = taken.get(host) ?? { used: { vcpus: 0, memoryMb: 0, diskGb: 0 }, instances: 0 }
      taken.set(host, { used: sum(used, size), instances: instances + 1 })
    }
    return hosts.map((host) => {
      const more = taken.get(host.name)
      return more ? { ...host, used: sum(host.used, more.used), instances: host.instances + more.instances } : host
    })
  }
}

const sum = (a: Size, b: Size): Size => ({
  vcpus: a.vcpus + b.vcpus,
  memoryMb: a.memoryMb + b.memoryMb,
  diskGb: a.diskGb + b.diskGb,
})
