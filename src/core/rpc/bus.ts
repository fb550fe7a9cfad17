import type { Clock } from '../base/clock.ts'
import type { Failure } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import type { Tls } from '../base/tls.ts'
import type { Api, Contract } from './contract.ts'
import type { Notification } from './notifications.ts'
import type { QueueKind } from './topology.ts'
import type { Cap } from './versions.ts'

/** How to connect to the bus, and what the process provides. */
export type BusOptions = {
  /**
   * `amqp://user:password@host:port/vhost`, `amqps://…`, or `amqp+unix://user:password@/path/to/socket?vhost=name`; several,
   * separated by commas, are tried in turn.
   */
  readonly url: string
  /** The CA to trust behind `amqps://`, and the client certificate. */
  readonly tls?: Tls | undefined
  /** The name of this connection in the broker's lists. */
  readonly name: string
  readonly log: Log
  readonly clock: Clock
  readonly ids: Ids
  /** How long a call waits for its answer, and a cast for its confirmation; 60 s if unset. */
  readonly callTimeoutMs?: number
  /** How long one attempt to connect may take; 5 s if unset. */
  readonly connectTimeoutMs?: number
  /**
   * How long callers wait while the connection is down, before they fail with `BusDown`: messages wait to be sent after
   * a reconnect, and calls that were sent before the loss wait for their answer. 5 s if unset.
   */
  readonly graceMs?: number
  /** How long a notification waits in the queues of its listeners before the broker drops it; one hour if unset. */
  readonly notificationTtlMs?: number
  /** Told at each attempt to connect again that the broker refuses, as a login whose password was replaced. */
  readonly onRefused?: (why: Failure<'BusRefused'>) => void
  /**
   * How exchanges and shared queues are declared: `durable`, unless all peers agree on another kind; see {@link
   * QueueKind}.
   */
  readonly queues?: QueueKind
}

/** The target of a message: any server of the contract's topic, or the one on `server` (a host name). */
type Target = {
  server?: string
  /** How long calls wait for their answer unless a call gives its own timeout; the bus's default if unset. */
  timeoutMs?: number
  /**
   * The versions that the other side speaks, if known: fields that it does not know are left out, methods that it does
   * not know fail with `UnsupportedVersion`.
   */
  cap?: Cap
}

/** The name of a server, and its limits. */
export type ServeOptions = {
  /**
   * The name of this server: it consumes `<topic>`, `<topic>.<server>` and the fanout of oslo.messaging's peers to all
   * servers of the topic.
   */
  server: string
  /** Maximum number of concurrent requests; the broker holds back the rest (prefetch). */
  slots: number
  /** `false`: consume `<topic>.<server>` and fanout only, not the shared `<topic>`. */
  shared?: boolean
  /**
   * Compute hosts with logins of their own may send to `<topic>`, and `Context.busUser` is their login. Every other
   * server refuses them with `Forbidden`.
   */
  forHosts?: boolean
  /** Told of messages of hosts that cannot be read, or must not be; they are dropped. */
  onUnread?: (busUser: string | undefined, why: string) => void
  /**
   * Interval of self-pings through the broker, in milliseconds; after two misses everything is declared again on a new
   * connection. If unset: no self-pings.
   */
  pingMs?: number
}

/** A running server. */
export type Serving = {
  /** Accepts no more requests, then waits for those that are running. */
  stop(): Promise<void>
  /**
   * When its last self-ping was answered, in milliseconds since the epoch; before the first answer, when it started.
   * Undefined if it does not ping itself.
   */
  readonly lastPongAt: number | undefined
}

/** A contract and its implementation. */
export type Served<C extends Contract = Contract> = { contract: C; api: Api<C> }
/** Pairs a contract with its implementation; a missing method does not compile. */
export const served = <C extends Contract>(contract: C, api: Api<C>): Served => ({ contract, api }) as unknown as Served

/** An event as it arrives: its routing key and its body. */
export type Received = { key: string; body: unknown }

/**
 * How many messages wait in a queue, and how many consumers it has. `messages` is undefined for an exclusive queue of
 * another connection: the broker does not tell.
 */
export type QueueDepth = { name: string; messages: number | undefined; consumers: number }

/**
 * A process's connection to the bus. It reconnects by itself and declares everything again; `call` and `cast` made
 * while it is down wait for a short time, then fail with `BusDown`.
 */
export type Bus = {
  /**
   * The caller's side of a contract. A call fails with `HostUnreachable`, `CallTimeout`, `BusDown`, or the failure of
   * the other side.
   */
  client<C extends Contract>(contract: C, target?: Target): Api<C>
  /** Serves contracts of one topic until it is stopped. */
  serve(services: readonly Served[], options: ServeOptions): Promise<Serving>
  /** Publishes a body on the events exchange (topic). Never waits for a reader. */
  publish(key: string, body: unknown): Promise<void>
  /**
   * Notifies the listeners of oslo.messaging, if there are any; never waits, and drops the oldest notifications beyond
   * a limit while the bus is down or slow.
   */
  notify(notification: Notification): void
  /**
   * Receives what is published under the patterns (`*` one word, `#` any number) until the returned function is called.
   */
  subscribe(patterns: readonly string[], onEvent: (event: Received) => void): Promise<() => Promise<void>>
  /**
   * Called with true and false as the connection comes and goes, and with true again if something had to be declared
   * again on a connection that stood: after each true, a reader of events may have missed some.
   */
  onLink(listener: (up: boolean) => void): () => void
  /** The depths of these queues, in this order; a queue that does not exist has no messages and no consumers. */
  queues(names: readonly string[]): Promise<QueueDepth[]>
  /** Whether the connection is up, with every channel on it. */
  readonly up: boolean
  /** Why the broker accepts no messages, as it has said; undefined if it accepts them. */
  readonly blocked: string | undefined
  /** Stops serving, waits until sent messages are confirmed and running requests are answered, then disconnects. */
  close(): Promise<void>
}
