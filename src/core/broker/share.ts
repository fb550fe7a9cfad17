import { type ReplyName, refuse } from './amqp-error.ts'

/** The most that a user with restricted permissions may have of a broker that it shares with others. */
export type Limits = {
  /** The largest message that it may send, in bytes. */
  readonly messageBytes: number
  /** Bytes of messages that it sent and that are still arriving, or wait in any queue. */
  readonly sentBytes: number
  /** Bytes of messages from others that wait in its queues; further ones are refused to their senders. */
  readonly receivedBytes: number
  readonly connections: number
  /** On all of its connections together. */
  readonly channels: number
  readonly consumersPerChannel: number
  readonly queues: number
  readonly exchanges: number
  readonly bindings: number
}

type Thing = 'connections' | 'channels' | 'queues' | 'exchanges' | 'bindings'

/** The code with which a user is refused one thing too many: RabbitMQ's, if RabbitMQ has such a limit. */
const refusals: Readonly<Record<Thing, ReplyName>> = {
  connections: 'NOT_ALLOWED',
  channels: 'NOT_ALLOWED',
  queues: 'PRECONDITION_FAILED',
  exchanges: 'PRECONDITION_FAILED',
  bindings: 'PRECONDITION_FAILED',
}

/**
 * What one user has of the broker, on all of its connections. Beyond a limit that user is refused, long before the
 * memory alarm, which stops everybody.
 */
export class Share {
  readonly user: string
  readonly limits: Limits
  #sent = 0
  #received = 0
  readonly #count: Record<Thing, number> = { connections: 0, channels: 0, queues: 0, exchanges: 0, bindings: 0 }

  constructor(user: string, limits: Limits) {
    this.user = user
    this.limits = limits
  }

  /** Takes one more; 530 or 406 if the user has as many as it may have. */
  take(thing: Thing): void {
    const most = this.limits[thing]
    if (this.#count[thing] >= most)
      refuse(refusals[thing], `user '${this.user}' may not have more than ${most} ${thing}`)
    this.#count[thing]++
  }

  giveBack(thing: Thing): void {
    this.#count[thing]--
  }

  /** 506 if the messages that the user sent would take more than its share with these bytes. */
  admit(bytes: number): void {
    const { sentBytes } = this.limits
    if (this.#sent + bytes <= sentBytes) return
    refuse(
      'RESOURCE_ERROR',
      `messages of user '${this.user}' that nobody has taken yet have more than ${sentBytes} bytes`,
    )
  }

  /** Whether the user's queues have room for a message of others. */
  hasRoom(bytes: number): boolean {
    return this.#received + bytes <= this.limits.receivedBytes
  }

  /** Whether one more queue may hold a message that the user sent. */
  maySpread(bytes: number): boolean {
    return this.#sent + bytes <= this.limits.sentBytes
  }

  /** Counts bytes of a message that the user sent; a negative number when they are gone. */
  sent(bytes: number): void {
    this.#sent += bytes
  }

  /** Counts bytes of a message that waits in one of the user's queues and is another's. */
  received(bytes: number): void {
    this.#received += bytes
  }
}

/** The shares of all users that have limits. */
export class Shares {
  readonly #limits: Limits
  readonly #byUser = new Map<string, Share>()

  constructor(limits: Limits) {
    this.#limits = limits
  }

  of(user: string): Share {
    const known = this.#byUser.get(user)
    if (known !== undefined) return known
    const share = new Share(user, this.#limits)
    this.#byUser.set(user, share)
    return share
  }

  /** Deletes what a user who is gone has declared; a later user of that name starts with nothing. */
  remove(user: string, vhosts: Iterable<{ deleteAllOf(share: Share): void }>): void {
    const share = this.#byUser.get(user)
    this.#byUser.delete(user)
    if (share !== undefined) for (const vhost of vhosts) vhost.deleteAllOf(share)
  }
}
