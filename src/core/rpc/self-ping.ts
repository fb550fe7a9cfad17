import { isFailure, reason } from '../base/errors.ts'
import { serviceContext } from '../model/context.ts'
import type { Calls } from './calls.ts'
import type { Link } from './link.ts'
import { contextWriter } from './request-context.ts'

/** What oslo.messaging's operators ping a server with; the dispatcher answers it. */
export const pingMethod = 'oslo_rpc_server_ping'

/** Misses in a row after which the connection counts as deaf; twice as many each time that a new one was deaf as well, up to a bound. */
const firstPatience = 2
const lastPatience = 16

/** A server that is to hear itself. */
type Ears = {
  /** `<topic>.<server>`: its own queue, as others reach it. */
  readonly target: string
  readonly everyMs: number
  /** How many messages have come to that queue. */
  deliveries(): number
  /** Whether all of its slots are taken. */
  full(): boolean
  /** The request id of the last ping that came. */
  lastPing(): string | undefined
}

/** When a server last heard itself, and the end of its asking. */
export type SelfPing = {
  /** Milliseconds since the epoch; before the first answer, when it began to ask. */
  readonly lastPongAt: number
  stop(): void
}

/**
 * Has a server call itself through the broker: to the queue that others reach it on, and back over the queue that answers
 * come by. A process may be alive, connected, and deaf all the same: its queue unbound, its consumer gone, its replies lost.
 * After two misses in a row the connection is cut, and the next one declares everything anew. It is no miss where the ping
 * stands behind other work, or where the broker takes no messages for want of memory: a new connection would not help.
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

  const ask = (requestId: string): Promise<unknown> => {
    const context = writeContext(serviceContext('ping', requestId))
    const message = `{"method":"${pingMethod}","version":"1.0","args":{}${context}`
    return calls.ask(message, { target, method: pingMethod, requestId, timeoutMs: everyMs, accept: () => undefined })
  }

  const missed = (e: unknown): void => {
    // A connection that was made since has all its chances before it.
    if (link.model !== on) misses = 0
    on = link.model
    misses++
    // Of a link that is down all has been said.
    log[on === undefined ? 'debug' : 'warn'](
      { queue: target, misses, why: reason(e) },
      'this server does not hear itself',
    )
    if (misses < patience || on === undefined) return
    misses = 0
    patience = Math.min(2 * patience, lastPatience)
    link.renew(`${target} has not heard itself for ${Math.round((clock.now() - lastPongAt) / 1000)} s`)
  }

  const round = async (): Promise<void> => {
    if (link.blocked) return
    const before = serving.deliveries()
    const id = ids.requestId()
    try {
      await ask(id)
      if (misses > 0) log.info({ queue: target }, 'this server hears itself again')
      misses = 0
      patience = firstPatience
      lastPongAt = clock.now()
    } catch (e) {
      const inLine =
        isFailure(e, 'CallTimeout') && serving.lastPing() !== id && (serving.full() || serving.deliveries() > before)
      if (!over && !link.blocked && !inLine) missed(e)
    }
  }

  const loop = async (): Promise<void> => {
    while (!over) {
      const due = clock.now() + everyMs
      await round()
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
