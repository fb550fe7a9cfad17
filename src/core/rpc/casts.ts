import type { Channel, ConfirmChannel, Message } from 'amqplib'
import { Failure } from '../base/errors.ts'
import { fits } from './calls.ts'
import { idOf, wrap } from './envelope.ts'
import type { KeptChannel } from './kept-channel.ts'
import type { Link } from './link.ts'
import { declareFanout, fanoutExchange, type QueueFlags } from './topology.ts'

type Outcome = 'confirmed' | 'returned' | 'lost' | 'silent'

/** A message that was not confirmed when the channel went is sent again under the same id: its receiver ignores the second. */
const attempts = 3

/** Sends what has no answer, and knows that the broker has it. Messages are JSON without id and closing brace. */
export class Casts {
  readonly #link: Link
  readonly #flags: QueueFlags
  readonly #confirmMs: number
  /** What is published and neither confirmed nor returned. */
  readonly #open = new Map<string, (outcome: Outcome) => void>()
  readonly #pending = new Set<Promise<unknown>>()
  // Opened when first needed: most commands only call.
  #casts: KeptChannel | undefined
  #fanouts: KeptChannel | undefined

  constructor(link: Link, flags: QueueFlags, confirmMs: number) {
    this.#link = link
    this.#flags = flags
    this.#confirmMs = confirmMs
  }

  /** Resolves when the message is in a queue. `HostUnreachable` where there is none, `BusDown`, `BusBlocked`. */
  send(target: string, method: string, message: string): Promise<void> {
    this.#casts ??= this.#link.keepSoon({
      name: 'casts',
      confirm: true,
      setup: async (channel) => {
        channel.on('return', (returned) => this.#onReturn(returned))
        await this.#link.reach.declare(channel, this.#flags)
      },
    })
    const kept = this.#casts
    const exchange = this.#link.reach.exchangeTo(target)
    return this.#deliver(target, method, message, (body, id) => this.#publish(kept, exchange, target, body, id, true))
  }

  /** Resolves when the message is in the queue of every server of the topic, be they none. */
  fanout(topic: string, method: string, message: string): Promise<void> {
    this.#fanouts ??= this.#link.keepSoon({ name: 'fanouts', confirm: true, setup: async () => undefined })
    const kept = this.#fanouts
    return this.#deliver(topic, method, message, async (body, id) => {
      const channel = await this.#turn(kept)
      try {
        // The exchange goes with its last queue, so that its having been there says nothing.
        await declareFanout(channel, topic)
      } catch {
        return 'lost'
      }
      return this.#publish(kept, fanoutExchange(topic), '', body, id, false)
    })
  }

  /** Waits for what is not confirmed yet. */
  async close(): Promise<void> {
    const confirmed = Promise.allSettled([...this.#pending])
    await (this.#link.blocked === undefined ? confirmed : Promise.race([confirmed, this.#link.patienceOver()]))
    for (const kept of [this.#casts, this.#fanouts]) if (kept !== undefined) await this.#link.drop(kept)
  }

  #deliver(
    target: string,
    method: string,
    message: string,
    once: (body: Buffer, id: string) => Promise<Outcome>,
  ): Promise<void> {
    const work = async (): Promise<void> => {
      const id = this.#link.ids.hex()
      const body = fits(wrap(`${message},"_unique_id":"${id}"}`), method)
      for (let attempt = 1; ; attempt++) {
        const outcome = await once(body, id)
        if (outcome === 'confirmed') return
        if (outcome === 'returned') throw new Failure('HostUnreachable', { target })
        if (outcome === 'silent') throw this.#unconfirmed()
        if (attempt === attempts) throw this.#link.down()
      }
    }
    const done = work()
    const settled = done.catch(() => undefined).finally(() => this.#pending.delete(settled))
    this.#pending.add(settled)
    return done
  }

  /** The channel, when the broker takes messages on it. */
  #turn(kept: KeptChannel): Promise<Channel> {
    return new Promise((resolve, reject) => {
      const pass = (channel: Channel): boolean => {
        resolve(channel)
        return true
      }
      kept.senders.send(0, this.#confirmMs, pass)?.catch(reject)
    })
  }

  #unconfirmed(): Failure {
    const { blocked } = this.#link
    if (blocked !== undefined) {
      const { url } = this.#link.down().params
      return new Failure('BusBlocked', { url, why: blocked, seconds: this.#confirmMs / 1000 })
    }
    const why = `it did not confirm the message within ${this.#confirmMs / 1000} s`
    return new Failure('BusDown', { url: this.#link.down().params.url, why })
  }

  #publish(kept: KeptChannel, to: string, key: string, body: Buffer, id: string, mandatory: boolean): Promise<Outcome> {
    const publish = (channel: Channel, ended: (outcome: Outcome) => void): boolean => {
      const end = (outcome: Outcome) => {
        this.#open.delete(id)
        cancel()
        ended(outcome)
      }
      // A broker that is short of memory reads nothing, and confirms nothing.
      const cancel = this.#link.clock.after(this.#confirmMs, () => end('silent'))
      this.#open.set(id, end)
      try {
        // What had no queue is returned before it is confirmed.
        const confirming = channel as ConfirmChannel
        return confirming.publish(to, key, body, mandatory ? this.#link.mandatory : this.#link.properties, (e) =>
          end(e ? 'lost' : 'confirmed'),
        )
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
