import { isFailure, reason } from '../base/errors.ts'
import { serviceContext } from '../model/context.ts'
import type { Calls } from './calls.ts'
import type { Link } from './link.ts'
import { contextWriter } from './request-context.ts'

/** The method with which operators of oslo.messaging ping a server; the dispatcher answers it. */
export const pingMethod = 'oslo_rpc_server_ping'

/**
 * After this many misses in a row the connection is replaced; the number doubles, up to a limit, each time the new
 * connection fails as well.
 */
const firstPatience = 2
const lastPatience = 16

/** A server that pings itself. */
type Ears = {
  /** `<topic>.<server>`: its own queue, the one that others send to. */
  readonly target: string
  readonly everyMs: number
  /** How many messages have arrived from that queue. */
  deliveries(): number
  /** Whether all of its slots are in use. */
  full(): boolean
  /** Whether the ping of this request id has arrived. */
  heard(requestId: string): boolean
  /** The queue that the server shares with others of its topic; undefined if it does not consume that. */
  readonly shared: Shared | undefined
}

/** A shared queue, which may lose its binding or this server's consumer while the server's own queue is well. */
type Shared = {
  readonly name: string
  readonly exchanges: readonly string[]
  /** No message reaches it any more: binds it anew. */
  rebind(): Promise<void>
}

/** When the last self-ping of a server was answered, and how to stop the pings. */
export type SelfPing = {
  /** Milliseconds since the epoch; before the first answer, when the pings began. */
  readonly lastPongAt: number
  stop(): void
}

/**
 * Lets a server call itself through the broker: to the queue that others send to, and back over its reply queue. A
 * process may be alive and connected but unreachable: its queue unbound, its consumer gone, its replies lost. After two
 * misses in a row the connection is cut, and the next one declares everything again. A ping that waits behind other
 * work is no miss; nor is one that waits because the broker is short of memory: a new connection would not help. The
 * shared queue of the topic is tried as well: if a ping to it comes back, it is bound anew.
 */
export function startSelfPing(link: Link, calls: Calls, serving: Ears): SelfPing {
  const { clock, ids, log } = link
  const { target, everyMs } = serving
  const writeContext = contextWriter(clock)
  let lastPongAt = clock.now()
  let misses = 0
  let patience = firstPatience
  /** The connection that the misses were counted on. */
  let on = link.model
  let over = false
  let wake = new AbortController()

  const ask = (requestId: string, to: { target: string; exchange?: string }): Promise<unknown> => {
    const context = writeContext(serviceContext('ping', requestId))
    const message = `{"method":"${pingMethod}","version":"1.0","args":{}${context}`
    return calls.ask(message, { ...to, method: pingMethod, requestId, timeoutMs: everyMs, accept: () => undefined })
  }

  const missed = (e: unknown): void => {
    // A newer connection starts with no misses.
    if (link.model !== on) misses = 0
    on = link.model
    misses++
    // A lost connection has been reported already.
    log[on === undefined ? 'debug' : 'warn'](
      { queue: target, misses, why: reason(e) },
      'self-ping failed: reconnecting',
    )
    if (misses < patience || on === undefined) return
    misses = 0
    patience = Math.min(2 * patience, lastPatience)
    link.renew(`${target} has had no answer to its self-pings for ${Math.round((clock.now() - lastPongAt) / 1000)} s`)
  }

  /** Any server of the topic may answer; only that nobody gets the ping is a fault of the queue. */
  const tryShared = async ({ name, exchanges, rebind }: Shared): Promise<void> => {
    for (const exchange of exchanges) {
      const lost = await ask(ids.requestId(), { target: name, exchange }).then(
        () => false,
        (e: unknown) => isFailure(e, 'HostUnreachable'),
      )
      if (!lost || over) continue
      log.warn({ queue: name, exchange }, 'no message reaches the shared queue: binding it anew')
      await rebind().catch((e: unknown) => log.warn({ queue: name, why: reason(e) }, 'shared queue not bound anew'))
    }
  }

  const round = async (): Promise<void> => {
    if (link.blocked) return
    const before = serving.deliveries()
    const id = ids.requestId()
    try {
      await ask(id, { target })
      if (misses > 0) log.info({ queue: target }, 'self-ping answered again')
      misses = 0
      patience = firstPatience
      lastPongAt = clock.now()
    } catch (e) {
      const inLine =
        isFailure(e, 'CallTimeout') && !serving.heard(id) && (serving.full() || serving.deliveries() > before)
      if (!over && !link.blocked && !inLine) missed(e)
    }
  }

  const loop = async (): Promise<void> => {
    while (!over) {
      const due = clock.now() + everyMs
      await Promise.all([round(), serving.shared && !link.blocked ? tryShared(serving.shared) : undefined])
      wake = new AbortController()
      if (!over) await clock.sleep(Math.max(0, due - clock.now()), wake.signal)
    }
  }

  void loop()
  return {
    get lastPongAt() {
      return lastPongAt
    },
    stop() {
      over = true
      wake.abort()
    },
  }
}
