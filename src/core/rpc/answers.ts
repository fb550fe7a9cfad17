import type { Channel } from 'amqplib'
import { reason } from '../base/errors.ts'
import type { Link } from './link.ts'
import type { Senders } from './senders.ts'

/**
 * How a server sends its answers: on the channel that its requests arrive on. The broker then handles an answer and the
 * acknowledgement of its request in order, in one place.
 */
export class Answers {
  readonly #link: Link
  readonly #senders: Senders
  /** How long an answer waits for a broker that accepts no messages. */
  readonly #patienceMs: number

  constructor(link: Link, senders: Senders, patienceMs: number) {
    this.#link = link
    this.#senders = senders
    this.#patienceMs = patienceMs
  }

  /**
   * Sends an answer to a peer's reply queue, and waits while the broker accepts no messages. A lost answer is not
   * reported: the caller has given up, or will.
   */
  async send(queue: string, body: Buffer): Promise<void> {
    try {
      await this.#senders.send(body.length, this.#patienceMs, (channel) => this.#publish(channel, queue, body))
    } catch (e) {
      this.#link.log.warn({ queue, why: reason(e) }, 'answer not sent')
    }
  }

  /** Sends a sign of life to a peer's reply queue, or drops it if it cannot leave now. */
  beat(queue: string, body: Buffer): void {
    const senders = this.#senders
    if (senders.clear) void senders.send(body.length, 0, (channel) => this.#publish(channel, queue, body))
  }

  /** False if the channel has no room; an answer is lost if its channel is lost. */
  #publish(channel: Channel, queue: string, body: Buffer): boolean {
    const { reach, mandatory } = this.#link
    try {
      return channel.publish(reach.exchangeBack(queue), queue, body, mandatory)
    } catch {
      return true
    }
  }
}
