import type { Channel, ConfirmChannel, Message } from 'amqplib'
import { Failure } from '../base/errors.ts'
import { fits } from './calls.ts'
import { idOf, wrap } from './envelope.ts'
import type { KeptChannel } from './kept-channel.ts'
import type { Link } from './link.ts'
import type { QueueKind } from './topology.ts'

type Outcome = 'confirmed' | 'returned' | 'lost' | 'silent'

/**
 * A message that was not confirmed before its channel was lost is sent again under the same id: its receiver ignores
 * the duplicate.
 */
const attempts = 3

/**
 * Sends messages that have no answer, and waits for the broker's confirmation. Messages are JSON without id and closing
 * brace.
 */
export class Casts {
  readonly #link: Link
  readonly #queues: QueueKind
  readonly #confirmMs: number
  /** Messages that are published and neither confirmed nor returned. */
  readonly #open = new Map<string, (outcome: Outcome) => void>()
  readonly #pending = new Set<Promise<unknown>>()
  // Opened at first use: most commands only call.
  #kept: KeptChannel | undefined

  constructor(link: Link, queues: QueueKind, confirmMs: number) {
    this.#link = link
    this.#queues = queues
    this.#confirmMs = confirmMs
  }

  /** Resolves when the message is in a queue. `HostUnreachable` if no queue takes it, `BusDown`, `BusBlocked`. */
  send(target: string, method: string, message: string): Promise<void> {
    this.#kept ??= this.#link.keepSoon({
      name: 'casts',
      confirm: true,
      setup: async (channel) => {
        channel.on('return', (returned) => this.#onReturn(returned))
        await this.#link.reach.declare(channel, this.#queues)
      },
    })
    const done = this.#deliver(this.#kept, target, method, message)
    const settled = done.catch(() => undefined).finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
    return done
  }

  /** Waits for the confirmations that are still missing. */
  async close(): Promise<void> {
    const confirmed = Promise.allSettled([...this.#pending])
    await (this.#link.blocked === undefined ? confirmed : Promise.race([confirmed, this.#link.patienceOver()]))
    if (this.#kept !== undefined) await this.#link.drop(this.#kept)
  }

  async #deliver(kept: KeptChannel, target: string, method: string, message: string): Promise<void> {
    const id = this.#link.ids.hex()
    const body = fits(wrap(`${message},"_unique_id":"${id}"}`), method, this.#link.reach)
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#publish(kept, target, body, id)
      if (outcome === 'confirmed') return
      if (outcome === 'returned') throw new Failure('HostUnreachable', { target })
      if (outcome === 'silent') throw this.#unconfirmed()
      if (attempt === attempts) throw this.#link.down()
    }
  }

  #unconfirmed(): Failure {
    const { blocked } = this.#link
    if (blocked !== undefined) {
      const { url } = this.#link.down().params
      return new Failure('BusBlocked', { url, why: blocked, seconds: this.#confirmMs / 1000 })
    }
    const why = `the broker did not confirm the message within ${this.#confirmMs / 1000} s`
    return new Failure('BusDown', { url: this.#link.down().params.url, why })
  }

  #publish(kept: KeptChannel, target: string, body: Buffer, id: string): Promise<Outcome> {
    const exchange = this.#link.reach.exchangeTo(target)
    const publish = (channel: Channel, ended: (outcome: Outcome) => void): boolean => {
      const end = (outcome: Outcome) => {
        this.#open.delete(id)
        cancel()
        ended(outcome)
      }
      // A broker that is short of memory reads nothing and confirms nothing.
      const cancel = this.#link.clock.after(this.#confirmMs, () => end('silent'))
      this.#open.set(id, end)
      try {
        // An unroutable message is returned before it is confirmed.
        const confirming = channel as ConfirmChannel
        return confirming.publish(exchange, target, body, this.#link.mandatory, (e) => end(e ? 'lost' : 'confirmed'))
      } catch {
        end('lost')
        return true
      }
    }
    return new Promise((resolve, reject) => {
      kept.senders.send(body.length, this.#confirmMs, (channel) => publish(channel, resolve))?.catch(reject)
    })
  }

  #onReturn(message: Message): void {
    const id = idOf(message.content, '_unique_id')
    if (id !== undefined) this.#open.get(id)?.('returned')
  }
}
