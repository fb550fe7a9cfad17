import type { Clock } from '../base/clock.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Tls } from '../base/tls.ts'
import type { Api, Contract } from './contract.ts'
import type { Notification } from './notifications.ts'
import type { QueueKind } from './topology.ts'
import type { Cap } from './versions.ts'

/** How to reach the bus, and what the process lends it. */
export type BusOptions = {
  /**
   * `amqp://user:password@host:port/vhost`, `amqps://…`, or `amqp+unix://user:password@/path/to/socket?vhost=name`; several,
   * separated by commas, are tried in turn.
   */
  readonly url: string
  /** Whom to trust behind `amqps://`, and what to show there. */
  readonly tls?: Tls | undefined
  /** What the broker's lists call this connection. */
  readonly name: string
  readonly log: Log
  readonly clock: Clock
  readonly ids: Ids
  /** How long a call waits for its answer, and a cast for its confirmation; 60 s where nothing is said. */
  readonly callTimeoutMs?: number
  /** How long one attempt to connect may take; 5 s. */
  readonly connectTimeoutMs?: number
  /**
   * How long a caller bears with a link that is down before `BusDown`: what is to be sent waits for it to come back, and what
   * was asked before it went waits for the answer. 5 s.
   */
  readonly graceMs?: number
  /** How long a notification waits in the queues of its listeners before the broker drops it; one hour. */
  readonly notificationTtlMs?: number
  /** How exchanges and shared queues are declared: `durable`, unless all peers agree on another; see {@link QueueKind}. */
  readonly queues?: QueueKind
}

/** Where a message goes: to any server of the contract's topic, or to the one on `server` (a host name). */
type Target = {
  server?: string
  /** How long calls wait for their answer where a call says nothing else; the bus's own default otherwise. */
  timeoutMs?: number
  /** What the other side speaks, where that is known: what it does not know is left out, or fails with `UnsupportedVersion`. */
  cap?: Cap
}

/** As whom a server listens, and for how much at once. */
export type ServeOptions = {
  /** The name of this server: it listens on `<topic>`, `<topic>.<server>` and what oslo.messaging's peers send to all of a topic. */
  server: string
  /** How many requests it works on at once; the broker holds back the rest (prefetch). */
  slots: number
  /** `false`: listen on `<topic>.<server>` and fanout only, not on the shared `<topic>`. */
  shared?: boolean
  /**
   * Compute hosts with logins of their own may send to `<topic>`, and `Context.busUser` says which. Every other server
   * refuses them with `Forbidden`.
   */
  forHosts?: boolean
  /**
   * How often it calls itself through the broker, in milliseconds; after two misses everything is declared anew on a new
   * connection. Absent: never.
   */
  pingMs?: number
}

/** A server that runs. */
export type Serving = {
  /** Takes no more, then waits for what runs. */
  stop(): Promise<void>
  /**
   * When it last heard itself, in milliseconds since the epoch; before the first time, when it began to serve. Undefined
   * where it does not ask itself.
   */
  readonly lastPongAt: number | undefined
}

/** A contract and what carries it out. */
export type Served<C extends Contract = Contract> = { contract: C; api: Api<C> }
/** Pairs a contract with what carries it out; a method too few does not compile. */
export const served = <C extends Contract>(contract: C, api: Api<C>): Served => ({ contract, api }) as unknown as Served

/** An event as it arrives: its routing key and its body. */
export type Heard = { key: string; body: unknown }

/**
 * How many messages wait in a queue, and how many consume it. `messages` is undefined for a queue that one process has for
 * itself: the broker tells nobody else.
 */
export type QueueDepth = { name: string; messages: number | undefined; consumers: number }

/**
 * A process's link to the bus. It reconnects by itself and declares everything anew; `call` and `cast` made while it is
 * down wait for it a moment, then fail with `BusDown`.
 */
export type Bus = {
  /** The caller's side of a contract. call: `HostUnreachable`, `CallTimeout`, `BusDown`, or what the other side failed with. */
  client<C extends Contract>(contract: C, target?: Target): Api<C>
  /** Serves contracts of one topic until it is stopped. */
  serve(services: readonly Served[], options: ServeOptions): Promise<Serving>
  /** Publishes a body on the events exchange (topic). Never waits for a reader. */
  publish(key: string, body: unknown): Promise<void>
  /**
   * Notifies the listeners of oslo.messaging, be there any; never waits, and drops the oldest beyond a limit while the bus is
   * down or slow.
   */
  notify(notification: Notification): void
  /** Hears what is published under the patterns (`*` one word, `#` any) until the returned function is called. */
  subscribe(patterns: readonly string[], hear: (event: Heard) => void): Promise<() => Promise<void>>
  /**
   * Called with true and false as the link comes and goes, and with true again when something had to be declared anew while
   * it stood: after each true a reader of events may have missed some.
   */
  onLink(listener: (up: boolean) => void): () => void
  /** The depths of these queues, in this order; a queue that is not there has nothing and nobody. */
  queues(names: readonly string[]): Promise<QueueDepth[]>
  /** Whether the connection stands with everything on it that was asked for. */
  readonly up: boolean
  /** Ends serving, waits for what was sent to be confirmed and what runs to be answered, then hangs up. */
  close(): Promise<void>
}
