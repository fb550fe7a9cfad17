import type { Channel, Connection, ConsumeMessage, Message, Options } from 'amqplib'
import { Failure, reason } from '../base/errors.ts'
import { type Consumer, consumeQueue } from './consume.ts'
import { idOf, readDeliveredRecord, wrap } from './envelope.ts'
import { readFailure } from './failure.ts'
import type { KeptChannel } from './kept-channel.ts'
import type { Link } from './link.ts'
import type { Reach } from './reach.ts'
import type { QueueKind, QueuePlan } from './topology.ts'
import { type Asked, Waiters } from './waiters.ts'

/** `InvalidRequest` for a message that is larger than this side may send. */
export function fits(body: Buffer, what: string, { bodyLimit }: Reach): Buffer {
  if (body.length <= bodyLimit) return body
  throw new Failure('InvalidRequest', {
    what: `${what}: the message has ${body.length} bytes; the limit of the bus is ${bodyLimit}`,
  })
}

/** Answers are acknowledged after this many, after so many bytes, or after this long. */
const ackEvery = 64
const ackBytes = 1 << 20
const ackMs = 100

/** The open calls of a process: one channel, and one reply queue per connection. */
export class Calls {
  readonly #link: Link
  readonly #queues: QueueKind
  /**
   * A new queue for each connection: the broker may not know yet that the last connection, which owns the old queue, is
   * gone.
   */
  #queue: QueuePlan
  #connection: Connection | undefined
  readonly #waiters: Waiters
  #kept!: KeptChannel
  #unacked: { channel: Channel; last: ConsumeMessage; count: number; bytes: number; cancel: () => void } | undefined
  #consumer: Consumer | undefined
  #askOptions: Options.Publish = {}
  #askTimeoutMs = -1

  private constructor(link: Link, queues: QueueKind) {
    this.#link = link
    this.#queues = queues
    this.#queue = link.reach.replyQueue(link.ids.hex())
    this.#waiters = new Waiters(link.clock, (asked) => this.#blocked(asked))
  }

  static async open(link: Link, queues: QueueKind): Promise<Calls> {
    const calls = new Calls(link, queues)
    calls.#kept = await link.keep({
      name: 'calls',
      setup: (channel) => calls.#setup(channel),
      lost: () => calls.#waiters.hurry(link.graceMs, () => link.down()),
    })
    return calls
  }

  /**
   * Sends a request, `message` being its JSON without ids and closing brace, and waits for the answer.
   * `HostUnreachable`, `CallTimeout`, `BusDown`, `BusBlocked`, or the failure of the other side.
   */
  async ask(message: string, asked: Asked): Promise<unknown> {
    const { ids } = this.#link
    const id = ids.hex()
    const ends = `"_timeout":null,"_unique_id":"${ids.hex()}"}`
    const write = (queue: string) =>
      fits(wrap(`${message},"_msg_id":"${id}","_reply_q":"${queue}",${ends}`), asked.method, this.#link.reach)
    const queue = this.#queue.name
    const written = write(queue)
    let answer: Promise<unknown> | undefined
    const turn = this.#kept.senders.send(written.length, asked.timeoutMs, (channel, waitedMs) => {
      // A request that waited for another connection is answered to that connection's queue.
      const body = this.#queue.name === queue ? written : write(this.#queue.name)
      const left = waitedMs === 0 ? asked : { ...asked, timeoutMs: Math.max(asked.timeoutMs - waitedMs, 1) }
      answer = this.#waiters.wait(id, left)
      try {
        return channel.publish(
          asked.exchange ?? this.#link.reach.exchangeTo(asked.target),
          asked.target,
          body,
          this.#optionsFor(left.timeoutMs),
        )
      } catch {
        this.#waiters.fail(id, this.#link.down())
        return true
      }
    })
    if (turn !== undefined) await turn
    return answer
  }

  /** Fails the open calls. */
  async close(): Promise<void> {
    const { url } = this.#link.down().params
    this.#waiters.failAll(new Failure('BusDown', { url, why: 'this side has disconnected' }))
    this.#unacked?.cancel()
    this.#consumer?.letGo()
    await this.#link.drop(this.#kept)
  }

  async #setup(channel: Channel): Promise<void> {
    if (channel.connection !== this.#connection) {
      if (this.#connection !== undefined) this.#startOver()
      this.#connection = channel.connection
    }
    channel.on('return', (message) => this.#onReturn(message))
    await this.#link.reach.declare(channel, this.#queues)
    this.#consumer = await consumeQueue(this.#link, channel, this.#queue, (message) => {
      this.#onReply(message)
      this.#ackSoon(channel, message)
    })
  }

  /** The reply queue went with the last connection, and with it the answers to earlier requests. */
  #startOver(): void {
    this.#queue = this.#link.reach.replyQueue(this.#link.ids.hex())
    this.#waiters.failAll(this.#link.down())
  }

  /**
   * Acknowledges this answer and all before it, but only now and then: each acknowledgement costs the broker as much as
   * a message. Unacknowledged answers are delivered again after a lost connection.
   */
  #ackSoon(channel: Channel, message: ConsumeMessage): void {
    const unacked = this.#unacked
    if (unacked?.channel === channel) {
      unacked.last = message
      unacked.bytes += message.content.length
      if (++unacked.count >= ackEvery || unacked.bytes >= ackBytes) this.#ack()
      return
    }
    this.#ack()
    const cancel = this.#link.clock.after(ackMs, () => this.#ack())
    this.#unacked = { channel, last: message, count: 1, bytes: message.content.length, cancel }
    if (message.content.length >= ackBytes) this.#ack()
  }

  #ack(): void {
    const unacked = this.#unacked
    if (unacked === undefined) return
    this.#unacked = undefined
    unacked.cancel()
    try {
      unacked.channel.ack(unacked.last, true)
    } catch {
      // The channel is gone; nobody waits for the redelivered answer any more.
    }
  }

  /** The options of the last call are cached: nearly all calls have the same. */
  #optionsFor(timeoutMs: number): Options.Publish {
    const { mandatory } = this.#link
    if (timeoutMs !== this.#askTimeoutMs || mandatory.userId !== this.#askOptions.userId) {
      this.#askTimeoutMs = timeoutMs
      this.#askOptions = { ...mandatory, expiration: String(Math.ceil(timeoutMs)) }
    }
    return this.#askOptions
  }

  /** Messages that were sent just before the broker blocked lie there half read. */
  #blocked({ target, method, timeoutMs }: Asked): Failure | undefined {
    const { blocked } = this.#link
    if (blocked === undefined) return undefined
    const why = `${blocked}; "${method}" for ${target} may still be carried out when the broker accepts messages again`
    return new Failure('BusBlocked', { url: this.#link.down().params.url, why, seconds: Math.round(timeoutMs / 1000) })
  }

  #onReply(message: ConsumeMessage): void {
    const { log } = this.#link
    let reply: Record<string, unknown>
    try {
      reply = readDeliveredRecord(message)
    } catch (e) {
      log.warn({ queue: this.#queue.name, why: reason(e) }, 'reply cannot be read')
      return
    }
    const id = reply._msg_id
    const asked = this.#waiters.find(id)
    if (typeof id !== 'string' || asked === undefined) {
      log.debug({ id }, 'unexpected reply')
      return
    }
    const { failure = null, result = null } = reply
    if (failure !== null) this.#waiters.fail(id, readFailure(failure, asked.requestId))
    // Without the ending it is a sign of life during a long call, or a partial result.
    else if (reply.ending === true) this.#waiters.answer(id, result)
    else if (result !== null) this.#waiters.partial(id, result)
  }

  #onReturn({ fields, content }: Message): void {
    const id = idOf(content, '_msg_id')
    if (id !== undefined) this.#waiters.fail(id, new Failure('HostUnreachable', { target: fields.routingKey }))
  }
}
