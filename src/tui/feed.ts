import { readList } from '../cli/pages.ts'
import type { Clock } from '../core/base/clock.ts'
import type { conductor } from '../core/contracts/conductor.ts'
import type { Beginnable } from '../core/contracts/kinds.ts'
import type { Host, InstanceSummary, Published } from '../core/contracts/shapes.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'
import type { Bus, QueueDepth } from '../core/rpc/bus.ts'
import type { Args, Result } from '../core/rpc/contract.ts'
import {
  type CloudModel,
  countDaemons,
  emptyWorld,
  hear,
  type Snapshot,
  takeAsked,
  takeMachines,
  takeSnapshot,
} from './model.ts'
import { type Paced, paced } from './paced.ts'

type Cloud = typeof conductor
/** Asks the conductor one question. */
export type Ask = <K extends keyof Cloud['methods']>(
  method: K,
  args: Args<Cloud, K>,
  timeoutMs?: number,
) => Promise<Result<Cloud, K>>

/** What went wrong, for a person, and what to do about it. */
export type Described = { readonly text: string; readonly hint: string | undefined }

export type FeedDeps = {
  readonly ask: Ask
  readonly bus: Pick<Bus, 'subscribe' | 'onLink' | 'queues' | 'up'>
  readonly clock: Clock
  /** Says a failure in a person's words. */
  readonly describe: (e: unknown) => Described
  /** Whether the caller may see hosts, and everybody's instances. */
  readonly isAdmin: boolean
}

/** How well the cloud can be seen from here. */
export type Health = {
  bus: boolean
  /** Why the conductor does not answer; undefined while it does. */
  conductor: Described | undefined
  queues: readonly QueueDepth[]
  /** When something was last heard or answered. */
  lastPongAt: number
  /** Whether everything was asked for once. */
  complete: boolean
  /** Whether the link was away, and what was missed meanwhile is not known yet. */
  missed: boolean
}

/** A verb that an instance can be given here. */
export type Verb = Beginnable

/** The most instances of one answer; more are asked for page by page. */
const pageSize = 10_000
const eventsAtFirst = 500
const operationsAtFirst = 500
/** Liveness is not told by events: a host that falls silent says nothing. */
const pulseMs = 2_000
const machinesMs = 10_000
/** What hosts have left is asked for at most this often, and after events that change it. */
const hostsMs = 2_000
const hearsayMs = 250
const retryMs = 1_000
const patienceMs = 5_000
/** Everything may take a while; an answer that was lost with a broker must not be waited for much longer. */
const snapshotMs = 10_000
/** The most ids of one question. */
const idsMax = 1_000

const listHosts = (ask: Ask, timeoutMs: number | undefined): Promise<Host[]> =>
  readList(
    async (asked) => (await ask('hostList', asked, timeoutMs)).hosts,
    ({ name }) => name,
  )

/** Asks for everything once, and waits so long for each answer; as long as the bus says where nothing is said. */
export async function loadSnapshot(
  { ask, isAdmin }: Pick<FeedDeps, 'ask' | 'isAdmin'>,
  timeoutMs?: number,
): Promise<Snapshot> {
  const instances = async (): Promise<InstanceSummary[]> => {
    const all: InstanceSummary[] = []
    for (;;) {
      const marker = all.at(-1)?.id
      const scope = isAdmin ? { allProjects: true } : {}
      const from = marker === undefined ? {} : { marker }
      const page = await ask('instanceList', { limit: pageSize, ...scope, ...from }, timeoutMs)
      all.push(...page.instances)
      if (page.instances.length < pageSize) return all
    }
  }
  const hosts = async (): Promise<Host[]> => (isAdmin ? listHosts(ask, timeoutMs) : [])
  const [status, rows, machines, recent, open, { events }] = await Promise.all([
    ask('status', {}, timeoutMs),
    instances(),
    hosts(),
    ask('operationList', { limit: operationsAtFirst }, timeoutMs),
    ask('operationList', { limit: pageSize, open: true }, timeoutMs),
    ask('eventList', { limit: eventsAtFirst }, timeoutMs),
  ])
  const { version, database, services, daemons, operations } = status
  return {
    instances: rows,
    operations: [...recent.operations, ...open.operations],
    events,
    hosts: machines,
    services,
    daemons: daemons ?? countDaemons(services),
    status: { version, database },
    failed: operations.failed ?? 0,
  }
}

/**
 * Keeps a world up to date. It listens first and asks for everything then, so that nothing falls between; after that
 * events tell. Each time the link comes back everything is asked for anew.
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
  /** For each answer that is being waited for: the events that came meanwhile, which it may or may not know of. */
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
    const unsubscribe = await deps.bus.subscribe(['#'], ({ body }) => feed.#hear(body as Published))
    const offLink = deps.bus.onLink((up) => feed.#link(up))
    feed.#undo.push(offLink, () => unsubscribe().catch(() => undefined))
    feed.#everything.want()
    return feed
  }

  /** Told after each change of world or health. */
  onChange(listener: () => void): () => void {
    return this.#changed.add(listener)
  }

  /** Told of each event as it comes. */
  onEvent(listener: (event: Published) => void): () => void {
    return this.#heard.add(listener)
  }

  async close(): Promise<void> {
    for (const undo of this.#undo.splice(0)) await undo()
  }

  #hear(event: Published): void {
    this.health.lastPongAt = this.#lastEventAt = this.clock.now()
    for (const events of this.#meanwhile) events.push(event)
    if (this.health.complete) {
      hear(this.world, event)
      if (this.world.hearsay.size > 0) this.#hearsay.want()
      if (this.world.hostsChanged) this.#hosts.want()
    }
    this.#heard.call(event)
    this.#changed.call()
  }

  #link(up: boolean): void {
    this.health.bus = up
    this.health.missed = true
    // Who listened before has to come back, too.
    this.health.queues = []
    if (up) this.#everything.want()
    this.#changed.call()
  }

  #well(): true {
    this.health.lastPongAt = this.clock.now()
    // That all is well still is no news.
    const news = this.health.conductor !== undefined
    this.health.conductor = undefined
    if (news) this.#changed.call()
    return true
  }

  /** Where the bus is away, that is told already, and the conductor is not to blame. */
  #unwell(e: unknown): false {
    if (this.#deps.bus.up) this.health.conductor = this.describe(e)
    this.#changed.call()
    return false
  }

  /** An answer, and the events that came between question and answer: they are to be heard again on top of it. */
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
      for (const event of events) hear(this.world, event)
      this.health.complete = true
      this.health.missed = false
      this.#well()
      this.#changed.call()
      return true
    } catch (e) {
      this.#unwell(e)
      // Where the link is away, its return asks again.
      return !this.#deps.bus.up
    }
  }

  /** False: to be felt again. */
  async #feelPulse(): Promise<false> {
    if (!this.#deps.bus.up) return false
    const ailing = this.health.conductor !== undefined
    try {
      await this.ask('ping', {}, patienceMs)
      this.#well()
      // It may have been another one's life that told the last events.
      if (ailing) this.#everything.want()
    } catch (e) {
      this.#unwell(e)
    }
    return false
  }

  /** What no event tells: whether daemons are alive, how long queues are, and whether an event was lost. */
  async #lookAround(): Promise<false> {
    const { bus, isAdmin } = this.#deps
    if (!bus.up || !this.health.complete) return false
    const askedAt = this.clock.now()
    try {
      // A question about queues that a broker took with it is never answered.
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
      // Nothing has happened for a while, and yet the sum is another.
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
      // A conductor of before knows no `ids` and tells of any: then all are asked for.
      if (instances.some(({ id }) => !wanted.has(id))) {
        hearsay.clear()
        this.#everything.want()
        return true
      }
      takeAsked(this.world, ids, instances)
      for (const event of events)
        if (event.instanceId !== undefined && wanted.has(event.instanceId)) hear(this.world, event)
      this.#changed.call()
      return hearsay.size === 0
    } catch (e) {
      return this.#unwell(e)
    }
  }
}

/** Somebody to be told. */
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
