import type { Clock } from '../../base/clock.ts'
import { fail, isFailure, reason } from '../../base/errors.ts'
import type { Ids } from '../../base/ids.ts'
import type { PowerState } from '../../model/instance.ts'
import { lastLines } from '../console.ts'
import type { DiskReader, DiskWriter, Driver, Guest, GuestPower, GuestSeen, ImageFiles, Resources } from '../driver.ts'
import { checkGeneration } from '../generation.ts'
import { checkCreatable } from '../image.ts'
import { checkExportable, checkReplaceable } from '../moving.ts'
import { fakeConsole, type Mark } from './console.ts'
import { Arrival, readGuest } from './moving.ts'
import { type FakeGuest, FakeStore } from './store.ts'

/** What the fake driver can be told to be slow or to fail at. */
type Action =
  | 'createDisk'
  | 'start'
  | 'stop'
  | 'reboot'
  | 'pause'
  | 'unpause'
  | 'suspend'
  | 'resume'
  | 'destroy'
  | 'exportDisk'
  | 'importDisk'
  | 'consoleLog'

/** Milliseconds: always the same, or chosen between the least and the most. */
type Latency = number | readonly [number, number]

/**
 * Asked before an action changes anything and again after it did: the error that the action is to fail with, or undefined. An
 * error `after` is an action that was done and whose answer was lost.
 */
type Faults = (action: Action, id: string, when: 'before' | 'after') => Error | undefined

export type FakeOptions = {
  clock: Clock
  ids: Ids
  /** The guests are kept here, so that they outlive the process; in memory only if unset. */
  stateFile?: string
  /** For every action, or for each. None if unset. */
  latencyMs?: number | Partial<Record<Action, Latency>>
  faults?: Faults
  resources?: Pick<Resources, 'vcpus' | 'memoryMb' | 'diskGb'>
}

/** A hypervisor without machines, and what a test may do to it. */
export type FakeDriver = Driver & {
  /** The guest does this by itself. */
  simulate(id: string, what: 'shutdown' | 'crash'): void
  /** How many machines of this guest run or stand paused here; over all hosts it must never be above one. */
  copies(id: string): number
  /** From now on. */
  setFaults(faults: Faults | undefined): void
}

const defaultResources = { vcpus: 64, memoryMb: 262_144, diskGb: 4096 }
/** Power states of a guest that has a machine. */
const live: readonly PowerState[] = ['RUNNING', 'PAUSED']

/**
 * A whole driver without machines: for tests, dry runs and scale. It stands for the hypervisor itself, so its guests go
 * on when the daemon is gone: with a state file over processes, without one over `close()` and `init()`.
 */
export const openFake = (options: FakeOptions): FakeDriver => new FakeHypervisor(options)

/** What an action comes to: the guest's power after it and what its console shows of it; undefined changes nothing. */
type Change = { power: PowerState; marks?: Mark[] } | undefined

class FakeHypervisor implements FakeDriver {
  readonly name = 'fake'
  readonly #options: FakeOptions
  readonly #store: FakeStore
  readonly #listeners = new Set<(change: GuestPower) => void>()
  /** What other hosts are sending, by guest. */
  readonly #arrivals = new Map<string, Arrival>()
  #faults: Faults | undefined

  constructor(options: FakeOptions) {
    this.#options = options
    this.#faults = options.faults
    this.#store = new FakeStore(options.stateFile)
  }

  async init(): Promise<void> {}

  async close(): Promise<void> {
    this.#listeners.clear()
  }

  async resources(): Promise<Resources> {
    const size = this.#options.resources ?? defaultResources
    return { ...size, hypervisor: 'fake', hypervisorVersion: '1', accelerator: 'fake' }
  }

  async list(): Promise<GuestSeen[]> {
    return [...this.#store.guests].map(([id, { power, guest }]) => ({ id, power, generation: guest.generation }))
  }

  async power(id: string): Promise<PowerState> {
    return this.#store.guests.get(id)?.power ?? 'NOSTATE'
  }

  createDisk(guest: Guest, image: ImageFiles, signal?: AbortSignal): Promise<void> {
    return this.#action('createDisk', guest.id, signal, () => {
      checkCreatable(image)
      checkGeneration(this.#store.guests.get(guest.id)?.guest, guest)
      this.#store.keep(guest)
    })
  }

  start(guest: Guest, signal?: AbortSignal): Promise<void> {
    return this.#action('start', guest.id, signal, () => this.#renew(guest, (power) => started(power)))
  }

  resume(guest: Guest, signal?: AbortSignal): Promise<void> {
    return this.#action('resume', guest.id, signal, () =>
      this.#renew(guest, (power) => {
        if (power !== 'SUSPENDED' && !live.includes(power)) throw new Error('its memory was not saved on this host')
        return started(power)
      }),
    )
  }

  reboot(guest: Guest, kind: 'soft' | 'hard', graceMs: number, signal?: AbortSignal): Promise<void> {
    return this.#action('reboot', guest.id, signal, () =>
      this.#renew(guest, (power) => {
        if (kind === 'soft' && graceMs > 0 && power === 'RUNNING') return { power, marks: ['power-button', 'boot'] }
        return { power: 'RUNNING', marks: ['boot'] }
      }),
    )
  }

  stop(id: string, graceMs: number, signal?: AbortSignal): Promise<void> {
    return this.#action('stop', id, signal, () =>
      this.#change(id, (power) => ({
        power: 'SHUTDOWN',
        marks: live.includes(power) && graceMs > 0 ? ['power-button'] : [],
      })),
    )
  }

  pause(id: string): Promise<void> {
    return this.#action('pause', id, undefined, () => this.#changeLive(id, 'PAUSED'))
  }

  unpause(id: string): Promise<void> {
    return this.#action('unpause', id, undefined, () => this.#changeLive(id, 'RUNNING'))
  }

  suspend(id: string, signal?: AbortSignal): Promise<void> {
    return this.#action('suspend', id, signal, () => {
      if (this.#store.guests.get(id)?.power !== 'SUSPENDED') this.#changeLive(id, 'SUSPENDED')
    })
  }

  destroy(id: string): Promise<void> {
    return this.#action('destroy', id, undefined, () => {
      if (this.#store.guests.has(id)) this.#store.forget(id)
    })
  }

  exportDisk(id: string): Promise<DiskReader> {
    return this.#action('exportDisk', id, undefined, () => {
      const known = this.#store.guests.get(id)
      checkExportable(known?.power ?? 'NOSTATE')
      return readGuest(known as FakeGuest)
    })
  }

  importDisk(guest: Guest, image: ImageFiles): Promise<DiskWriter> {
    return this.#action('importDisk', guest.id, undefined, () => {
      checkCreatable(image)
      this.#checkArrival(guest)
      const arrival = new Arrival()
      this.#arrivals.set(guest.id, arrival)
      return this.#writer(guest, arrival)
    })
  }

  #writer(guest: Guest, arrival: Arrival): DiskWriter {
    const { id } = guest
    const step = (work: (arrival: Arrival) => void) =>
      this.#action('importDisk', id, undefined, () => {
        if (this.#arrivals.get(id) !== arrival) throw new Error('the import of the guest is over')
        work(arrival)
      })
    const end = () => {
      if (this.#arrivals.get(id) === arrival) this.#arrivals.delete(id)
    }
    return {
      write: (offset, data) => step((to) => to.write(offset, data)),
      restart: () => step((to) => to.clear()),
      complete: (sizeBytes) =>
        step((to) => {
          this.#checkArrival(guest)
          this.#store.takeIn(guest, to.moments(sizeBytes))
          end()
        }),
      abort: async () => end(),
    }
  }

  #checkArrival(guest: Guest): void {
    const known = this.#store.guests.get(guest.id)
    checkGeneration(known?.guest, guest)
    checkReplaceable(known?.power ?? 'NOSTATE')
  }

  consoleLog(id: string, lines?: number): Promise<string> {
    return this.#action('consoleLog', id, undefined, () => {
      const known = this.#store.guests.get(id)
      return known ? lastLines(fakeConsole(known.guest, known.moments), lines) : ''
    })
  }

  onPower(listener: (change: GuestPower) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  simulate(id: string, what: 'shutdown' | 'crash'): void {
    if (this.copies(id) === 0) return
    const power = what === 'crash' ? 'CRASHED' : 'SHUTDOWN'
    this.#apply(id, { power, marks: [what] })
    for (const listener of this.#listeners) listener({ id, power })
  }

  copies(id: string): number {
    return live.includes(this.#store.guests.get(id)?.power ?? 'NOSTATE') ? 1 : 0
  }

  setFaults(faults: Faults | undefined): void {
    this.#faults = faults
  }

  /** The frame of every action: its time, its faults, and the failure that it ends with. */
  async #action<T>(action: Action, id: string, signal: AbortSignal | undefined, work: () => T): Promise<T> {
    const latencyMs = this.#latencyMs(action)
    if (latencyMs > 0) await this.#options.clock.sleep(latencyMs, signal)
    signal?.throwIfAborted()
    try {
      this.#fault(action, id, 'before')
      const result = work()
      this.#fault(action, id, 'after')
      return result
    } catch (e) {
      if (isFailure(e)) throw e
      return fail('DriverFailed', { action: `${action} the guest`, why: reason(e) }, e)
    }
  }

  #fault(action: Action, id: string, when: 'before' | 'after'): void {
    const fault = this.#faults?.(action, id, when)
    if (fault) throw fault
  }

  #latencyMs(action: Action): number {
    const { latencyMs = 0, ids } = this.#options
    const latency = typeof latencyMs === 'number' ? latencyMs : (latencyMs[action] ?? 0)
    if (typeof latency === 'number') return latency
    const [least, most] = latency
    return least + ids.random() * (most - least)
  }

  /** An action that comes with the guest as it is to be now. */
  #renew(guest: Guest, decide: (power: PowerState) => Change): void {
    const known = this.#store.guests.get(guest.id)
    if (!known) throw new Error('it has no disk on this host')
    checkGeneration(known.guest, guest)
    const change = decide(known.power)
    if (!change) return
    this.#store.keep(guest)
    this.#apply(guest.id, change)
  }

  /** Content to find no such guest. */
  #change(id: string, decide: (power: PowerState) => Change): void {
    const known = this.#store.guests.get(id)
    const change = known && decide(known.power)
    if (change) this.#apply(id, change)
  }

  #changeLive(id: string, power: PowerState): void {
    const before = this.#store.guests.get(id)?.power ?? 'NOSTATE'
    if (!live.includes(before)) throw new Error('it does not run')
    if (before !== power) this.#apply(id, { power })
  }

  #apply(id: string, { power, marks = [] }: NonNullable<Change>): void {
    if (marks.length === 0) this.#store.change(id, power)
    for (const mark of marks) this.#store.change(id, power, { at: this.#options.clock.now(), mark })
  }
}

/** What a start makes of a guest in this power state. */
function started(power: PowerState): Change {
  if (power === 'RUNNING') return undefined
  if (power === 'PAUSED') return { power: 'RUNNING' }
  return { power: 'RUNNING', marks: [power === 'SUSPENDED' ? 'resume' : 'boot'] }
}
