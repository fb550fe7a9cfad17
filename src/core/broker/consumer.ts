import { methodKey } from './methods.ts'
import type { Outbox } from './outbox.ts'
import type { Queue, Subscriber } from './queue.ts'
import type { Entry } from './ready-list.ts'

/** An unacknowledged message. */
export type Delivery = { readonly queue: Queue; readonly entry: Entry; readonly consumer: Consumer | undefined }

/** What a consumer needs of its channel. */
export type ConsumerChannel = {
  readonly number: number
  readonly outbox: Outbox
  /** Whether the channel's own limit leaves room for one more delivery with acknowledgement. */
  hasRoom(): boolean
  /** Returns the next delivery tag and keeps the delivery under it, if it needs an acknowledgement. */
  track(delivery: Delivery, noAck: boolean): number
  /** Removes a consumer whose queue was deleted, and tells the client if it wants to know. */
  cancelled(consumer: Consumer): void
}

export type ConsumerDeclaration = {
  tag: string
  noAck: boolean
  exclusive: boolean
  priority: number
  /** Maximum number of unacknowledged messages; 0 for any number. */
  prefetch: number
}

function stamp(fields: Buffer, deliveryTag: number, redelivered: boolean): void {
  const at = fields.length - 9
  fields.writeUInt32BE(Math.floor(deliveryTag / 0x1_0000_0000), at)
  fields.writeUInt32BE(deliveryTag % 0x1_0000_0000, at + 4)
  fields[at + 8] = redelivered ? 1 : 0
}

/** The fields of basic.deliver before the route. */
export function deliverFields(consumerTag: string, deliveryTag: number, redelivered: boolean): Buffer {
  const tag = Buffer.from(consumerTag)
  const fields = Buffer.alloc(5 + tag.length + 9)
  fields.writeUInt32BE(methodKey('basic.deliver'), 0)
  fields.writeUInt8(tag.length, 4)
  tag.copy(fields, 5)
  stamp(fields, deliveryTag, redelivered)
  return fields
}

/** The subscription of a channel to a queue. */
export class Consumer implements Subscriber {
  readonly queue: Queue
  readonly tag: string
  readonly noAck: boolean
  readonly exclusive: boolean
  readonly priority: number
  readonly #prefetch: number
  readonly #channel: ConsumerChannel
  /**
   * The first fields of its basic.deliver; the tag and flag of each delivery are written into them before they are
   * copied out.
   */
  readonly #fields: Buffer
  parked = false
  unacked = 0
  /** The delivery tag that it got last: the consumer that waited longest has the lowest. */
  lastTag = 0

  constructor(channel: ConsumerChannel, queue: Queue, declared: ConsumerDeclaration) {
    this.#channel = channel
    this.queue = queue
    this.tag = declared.tag
    this.noAck = declared.noAck
    this.exclusive = declared.exclusive
    this.priority = declared.priority
    this.#prefetch = declared.noAck ? 0 : declared.prefetch
    this.#fields = deliverFields(declared.tag, 0, false)
  }

  hasRoom(): boolean {
    if (this.#channel.outbox.congested) return false
    if (this.noAck) return true
    return (this.#prefetch === 0 || this.unacked < this.#prefetch) && this.#channel.hasRoom()
  }

  take(entry: Entry): void {
    const tag = this.#channel.track({ queue: this.queue, entry, consumer: this }, this.noAck)
    this.lastTag = tag
    stamp(this.#fields, tag, entry.redelivered)
    this.#channel.outbox.content(this.#channel.number, this.#fields, entry.message)
  }

  cancel(): void {
    this.#channel.cancelled(this)
  }
}
