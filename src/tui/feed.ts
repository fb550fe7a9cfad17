import type { Clock } from '../core/base/clock.ts'
import type { conductor } from '../core/contracts/conductor.ts'
import type { Beginnable } from '../core/contracts/kinds.ts'
import { pageIn, readList } from '../core/contracts/pages.ts'
import type { Host, InstanceSummary, OperationSummary, Published } from '../core/contracts/shapes.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'
import type { Bus, QueueDepth } from '../core/rpc/bus.ts'
import type { Args, Result } from '../core/rpc/contract.ts'
import {
  applyEvent,
  type CloudModel,
  countDaemons,
  emptyWorld,
  type Snapshot,
  takeAsked,
  takeMachines,
  takeSnapshot,
} from './model.ts'
import { type Paced, paced } from './paced.ts'

type Cloud = typeof conductor
/** Sends one request to the conductor. */
export type Ask = <K extends keyof Cloud['methods']>(
  method: K,
  args: Args<Cloud, K>,
  timeoutMs?: number,
) => Promise<Result<Cloud, K>>

/** An error for a person, and what to do about it. */
export type Described = { readonly text: string; readonly hint: string | undefined }

export type FeedDeps = {
  readonly ask: Ask
  readonly bus: Pick<Bus, 'subscribe' | 'onLink' | 'queues' | 'up'>
  readonly clock: Clock
  /** Puts an error into words for a person. */
  readonly describe: (e: unknown) => Described
  /** Whether the caller may see hosts and the instances of all projects. */
  readonly isAdmin: boolean
}

/** How well the cloud can be seen from here. */
export type Health = {
  bus: boolean
  /** Why the conductor does not answer; undefined while it does. */
  conductor: Described | undefined
  queues: readonly QueueDepth[]
  /** When the last event or answer arrived. */
  lastPongAt: number
  /** Whether the first full load is done. */
  complete: boolean
  /** Whether the bus connection was lost and the events missed since then have not been loaded yet. */
  missed: boolean
}

/** A verb that the dashboard offers for instances. */
export type Verb = Beginnable

/** Page size for instances; more are loaded page by page. */
const pageSize = 10_000
const eventsAtFirst = 500
const operationsAtFirst = 500
/** No event reports liveness: a host that falls silent sends nothing. */
const pulseMs = 2_000
const machinesMs = 10_000
/** Free capacity of hosts is requested at most this often, and after events that change it. */
const hostsMs = 2_000
const hearsayMs = 250
const retryMs = 1_000
const patienceMs = 5_000
/** A full load may take a while; an answer that was lost with a broker must not be awaited for much longer. */
const snapshotMs = 10_000
/** Maximum number of ids in one request. */
const idsMax = 1_000

const listHosts = (ask: Ask, timeoutMs: number | undefined): Promise<Host[]> =>
  readList(
    async (asked) => pageIn(await ask('hostList', asked, timeoutMs), 'hosts'),
    ({ name }) => name,
  )

/** Loads everything once; each answer may take `timeoutMs`, or the bus's own timeout if omitted. */
export async function loadSnapshot(
  { ask, isAdmin }: Pick<FeedDeps, 'ask' | 'isAdmin'>,
  timeoutMs?: number,
): Promise<Snapshot> {
  const scope = isAdmin ? { allProjects: true } : {}
  const instances = (): Promise<InstanceSummary[]> =>
    readList(
      async (asked) => pageIn(await ask('instanceList', { ...scope, ...asked }, timeoutMs), 'instances'),
      ({ id }) => id,
      { pageSize },
    )
  const open = (): Promise<OperationSummary[]> =>
    readList(
      async (asked) => pageIn(await ask('operationList', { open: true, ...asked }, timeoutMs), 'operations'),
      ({ id }) => id,
      { limit: pageSize },
    )
  const hosts = async (): Promise<Host[]> => (isAdmin ? listHosts(ask, timeoutMs) : [])
  const [status, rows, machines, recent, opened, { events }] = await Promise.all([
    ask('status', {}, timeoutMs),
    instances(),
    hosts(),
    ask('operationList', { limit: operationsAtFirst }, timeoutMs),
    open(),
    ask('eventList', { limit: eventsAtFirst }, timeoutMs),
  ])
  const { version, database, services, daemons, operations } = status
  return {
    instances: rows,
    operations: [...recent.operations, ...opened],
    events,
    hosts: machines,
    services,
    daemons: daemons ?? countDaemons(services),
    status: { version, database },
    failed: operations.failed ?? 0,
  }
}

/**
 * Keeps the model up to date. It subscribes first and loads everything afterwards, so that nothing is missed in
 * between; from then on events report the changes. Each time the connection comes back, everything is loaded again.
 */
export class Feed {
  readonly world: CloudModel = emptyWorld()
  readonly health: Health
  readonly clock: Clock
  readonly ask: Ask
  readonly describe: FeedDeps['describe']
  readonly #deps: FeedDeps
  readonly #changed = listeners<void>()
  readonly #heard = listeners<Published>()
  readonly #undo: Array<() => unknown> = []
  /** For each request that is open: the events that came in the meantime, which the answer may or may not include. */
  readonly #meanwhile = new Set<Published[]>()
  #lastEventAt = 0
  readonly #everything: Paced
  readonly #hosts: Paced
  readonly #hearsay: Paced

  private constructor(deps: FeedDeps) {
    const { clock, bus, ask, describe } = deps
    this.#deps = deps
    this.clock = clock
    this.ask = ask
    this.describe = describe
    this.health = {
      bus: bus.up,
      conductor: undefined,
      queues: [],
      lastPongAt: clock.now(),
      complete: false,
      missed: false,
    }
    const pace = (gapMs: number, work: () => Promise<boolean>): Paced => {
      const steady = paced(clock, gapMs, work)
      this.#undo.push(() => steady.stop())
      return steady
    }
    this.#everything = pace(retryMs, () => this.#askEverything())
    this.#hosts = pace(hostsMs, () => this.#askHosts())
    this.#hearsay = pace(hearsayMs, () => this.#askHearsay())
    pace(pulseMs, () => this.#feelPulse()).want()
    pace(machinesMs, () => this.#lookAround()).want()
  }

  static async open(deps: FeedDeps): Promise<Feed> {
    const feed = new Feed(deps)
    const unsubscribe = await deps.bus.subscribe(['#'], ({ body }) => feed.#onEvent(body as Published))
    const offLink = deps.bus.onLink((up) => feed.#link(up))
    feed.#undo.push(offLink, () => unsubscribe().catch(() => undefined))
    feed.#everything.want()
    return feed
  }

  /** Called after each change of the model or of the health. */
  onChange(listener: () => void): () => void {
    return this.#changed.add(listener)
  }

  /** Called with each event as it comes. */
  onEvent(listener: (event: Published) => void): () => void {
    return this.#heard.add(listener)
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo()
  }

  #onEvent(event: Published): void {
    this.health.lastPongAt = this.#lastEventAt = this.clock.now()
    for (const events of this.#meanwhile) events.push(event)
    if (this.health.complete) {
      applyEvent(this.world, event)
      if (this.world.hearsay.size > 0) this.#hearsay.want()
      if (this.world.hostsChanged) this.#hosts.want()
    }
    this.#heard.call(event)
    this.#changed.call()
  }

  #link(up: boolean): void {
    this.health.bus = up
    this.health.missed = true
    // Every earlier subscription must be back, too.
    this.health.queues = []
    if (up) this.#everything.want()
    this.#changed.call()
  }

  #well(): true {
    this.health.lastPongAt = this.clock.now()
    // If all was well before, this is no change.
    const news = this.health.conductor !== undefined
    this.health.conductor = undefined
    if (news) this.#changed.call()
    return true
  }

  /** If the bus is down, that has already been reported, and the conductor is not at fault. */
  #unwell(e: unknown): false {
    if (this.#deps.bus.up) this.health.conductor = this.describe(e)
    this.#changed.call()
    return false
  }

  /** An answer, with the events that came between request and answer: they are applied again on top of it. */
  async #listening<T>(ask: () => Promise<T>): Promise<[T, readonly Published[]]> {
    const events: Published[] = []
    this.#meanwhile.add(events)
    try {
      return [await ask(), events]
    } finally {
      this.#meanwhile.delete(events)
    }
  }

  async #askEverything(): Promise<boolean> {
    try {
      const [snapshot, events] = await this.#listening(() => loadSnapshot(this.#deps, snapshotMs))
      takeSnapshot(this.world, snapshot)
      for (const event of events) applyEvent(this.world, event)
      this.health.complete = true
      this.health.missed = false
      this.#well()
      this.#changed.call()
      return true
    } catch (e) {
      this.#unwell(e)
      // If the connection is lost, its return starts another load.
      return !this.#deps.bus.up
    }
  }

  /** False: to be tried again. */
  async #feelPulse(): Promise<false> {
    if (!this.#deps.bus.up) return false
    const ailing = this.health.conductor !== undefined
    try {
      await this.ask('ping', {}, patienceMs)
      this.#well()
      // The last events may have come from an earlier process of that daemon.
      if (ailing) this.#everything.want()
    } catch (e) {
      this.#unwell(e)
    }
    return false
  }

  /** What no event reports: whether daemons are alive, how long queues are, and whether an event was lost. */
  async #lookAround(): Promise<false> {
    const { bus, isAdmin } = this.#deps
    if (!bus.up || !this.health.complete) return false
    const askedAt = this.clock.now()
    try {
      // If a broker dies with a request about its queues, the request is never answered.
      const noAnswer = this.clock.sleep(patienceMs).then((): QueueDepth[] => [])
      const depths = Promise.race([bus.queues(sharedTopics), noAnswer])
      const [status, queues] = await Promise.all([this.ask('status', {}, patienceMs), depths])
      const { world, health } = this
      health.queues = queues
      world.failed = status.operations.failed ?? 0
      const { services, daemons = countDaemons(services) } = status
      takeMachines(world, { services, daemons })
      const up = world.hosts.filter(({ state }) => state === 'up').length
      const known = { up, down: world.hosts.length - up }
      if (isAdmin && (known.up !== status.hosts.up || known.down !== status.hosts.down)) this.#hosts.want()
      const count = Object.values(status.instances).reduce((sum, n) => sum + n, 0)
      // No event for a while, and yet the count differs.
      if (isAdmin && this.#lastEventAt < askedAt - pulseMs && count !== world.instances.size) this.#everything.want()
      this.#well()
      this.#changed.call()
    } catch (e) {
      this.#unwell(e)
    }
    return false
  }

  async #askHosts(): Promise<boolean> {
    const { isAdmin, bus } = this.#deps
    this.world.hostsChanged = false
    if (!isAdmin || !bus.up) return true
    try {
      takeMachines(this.world, { hosts: await listHosts(this.ask, patienceMs) })
      this.#changed.call()
      return true
    } catch (e) {
      return this.#unwell(e)
    }
  }

  async #askHearsay(): Promise<boolean> {
    const { isAdmin, bus } = this.#deps
    const { hearsay } = this.world
    const ids = [...hearsay].slice(0, idsMax)
    if (ids.length === 0 || !bus.up) return true
    try {
      const asked = { ids, limit: idsMax, ...(isAdmin ? { allProjects: true } : {}) }
      const [{ instances }, events] = await this.#listening(() => this.ask('instanceList', asked, patienceMs))
      const wanted = new Set(ids)
      // An older conductor does not know `ids` and returns any instances: then all are loaded.
      if (instances.some(({ id }) => !wanted.has(id))) {
        hearsay.clear()
        this.#everything.want()
        return true
      }
      takeAsked(this.world, ids, instances)
      for (const event of events)
        if (event.instanceId !== undefined && wanted.has(event.instanceId)) applyEvent(this.world, event)
      this.#changed.call()
      return hearsay.size === 0
    } catch (e) {
      return this.#unwell(e)
    }
  }
}

/** A set of listeners. */
function listeners<T>() {
  const all = new Set<(news: T) => void>()
  return {
    call: (news: T): void => {
      for (const listener of all) listener(news)
    },
    add: (listener: (news: T) => void): (() => void) => {
      all.add(listener)
      return () => void all.delete(listener)
    },
  }
}
