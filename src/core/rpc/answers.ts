import type { Channel } from 'amqplib'
import { reason } from '../base/errors.ts'
import type { Link } from './link.ts'
import type { Senders } from './senders.ts'

/**
 * The way back for a server's answers: the channel that its questions come by. For the broker an answer and the
 * acknowledgement of its question are then one thing after the other, in one place.
 */
export class Answers {
  readonly #link: Link
  readonly #senders: Senders
  /** How long an answer waits for a broker that takes no messages. */
  readonly #patienceMs: number

  constructor(link: Link, senders: Senders, patienceMs: number) {
    this.#link = link
    this.#senders = senders
    this.#patienceMs = patienceMs
  }

  /**
   * Sends an answer to a peer's reply queue, and waits while the broker takes no messages. Nobody is told where it is lost:
   * the caller has given up, or will.
   */
  async send(queue: string, body: Buffer): Promise<void> {
    try {
      await this.#senders.send(body.length, this.#patienceMs, (channel) => this.#publish(channel, queue, body))
    } catch (e) {
      this.#link.log.warn({ queue, why: reason(e) }, 'an answer could not be sent')
    }
  }

  /** Sends a sign of life to a peer's reply queue, or none where it could not leave now. */
  beat(queue: string, body: Buffer): void {
    const senders = this.#senders
    if (senders.clear) void senders.send(body.length, 0, (channel) => this.#publish(channel, queue, body))
  }

  /** False where the channel has no room for another; an answer that its channel loses is lost. */
  #publish(channel: Channel, queue: string, body: Buffer): boolean {
    const { reach, mandatory } = this.#link
    try {
      return channel.publish(reach.exchangeBack(queue), queue, body, mandatory)
    } catch {
      return true
    }
  }
}
