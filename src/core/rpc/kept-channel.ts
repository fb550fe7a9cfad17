import type { Channel, ChannelModel } from 'amqplib'
import { reason } from '../base/errors.ts'
import { backoffMs } from '../base/retry.ts'
import type { Holder } from './holder.ts'
import { Senders } from './senders.ts'

/** What a channel is for: how to make it ready, and what to do when it is gone. */
export type Station = {
  /** For the log. */
  readonly name: string
  /** Whether the broker confirms what is published on it. */
  readonly confirm?: boolean
  /** Declares and consumes, on a channel that was just opened; every time anew. What is sent by `senders` leaves after that. */
  setup(channel: Channel, senders: Senders): Promise<void>
  /** The broker takes messages, after a time in which it did not. */
  room?(): void
  /** The channel is gone, and with it what was under way on it. */
  lost?(): void
}

/** Closes a channel, whatever state it is in. */
const closeQuietly = async (channel: Channel): Promise<void> => {
  await channel.close().catch(() => undefined)
}

/** A channel that is opened anew whenever it is lost, for as long as its link lives. */
export class KeptChannel {
  /** Undefined while there is none. */
  channel: Channel | undefined
  /** By which messages are published on it. */
  readonly senders: Senders
  readonly #station: Station
  readonly #holder: Holder
  readonly #waiting = new Set<(channel: Channel) => void>()
  #left = false

  constructor(station: Station, holder: Holder) {
    this.#station = station
    this.#holder = holder
    this.senders = new Senders(holder)
  }

  /** The channel, as soon as there is one; `BusDown` where there is none for the link's grace. */
  ready(): Promise<Channel> {
    if (this.channel !== undefined) return Promise.resolve(this.channel)
    const { clock, graceMs } = this.#holder
    if (this.#left) return Promise.reject(this.#holder.down())
    return new Promise((resolve, reject) => {
      const take = (channel: Channel) => {
        this.#waiting.delete(take)
        giveUp()
        resolve(channel)
      }
      const giveUp = clock.after(graceMs, () => {
        this.#waiting.delete(take)
        reject(this.#holder.down())
      })
      this.#waiting.add(take)
    })
  }

  /** Opens it on a connection; rejects where that fails. For the link only. */
  async open(model: ChannelModel): Promise<void> {
    const channel = await (this.#station.confirm ? model.createConfirmChannel() : model.createChannel())
    let why = 'closed'
    let alive = true
    channel.on('error', (e) => {
      why = reason(e)
    })
    channel.on('close', () => {
      alive = false
      if (this.channel === channel) this.#gone(model, why)
    })
    try {
      await this.#station.setup(channel, this.senders)
      if (!alive) throw new Error(why)
    } catch (e) {
      if (alive) await closeQuietly(channel)
      throw e
    }
    if (this.#left) return closeQuietly(channel)
    this.channel = channel
    for (const take of [...this.#waiting]) take(channel)
    this.senders.opened(channel)
    channel.on('drain', () => {
      if (this.channel !== channel) return
      this.senders.drained()
      this.room()
    })
    this.room()
  }

  /** The broker takes messages again. */
  room(): void {
    this.senders.go()
    if (this.senders.clear) this.#station.room?.()
  }

  /** Tries again and again while the connection stands. For the link only. */
  async reopen(model: ChannelModel): Promise<void> {
    const { clock, ids, log, stopped } = this.#holder
    const { name } = this.#station
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(backoffMs(attempt, ids.random()), stopped)
      // Where the connection is gone too, the link opens us on the next one.
      if (this.#left || this.#holder.model !== model) return
      try {
        await this.open(model)
        log.info({ channel: name }, 'channel opened anew')
        return this.#holder.changed(true)
      } catch (e) {
        if (this.#holder.model === model) log.warn({ channel: name, why: reason(e) }, 'channel cannot be opened')
      }
    }
  }

  /** Sends what is buffered, closes the channel and lets it go. For the link only. */
  async leave(): Promise<void> {
    this.#left = true
    this.senders.leave()
    const { channel } = this
    if (channel !== undefined) await Promise.race([closeQuietly(channel), this.#holder.limit()])
    this.channel = undefined
  }

  #gone(model: ChannelModel, why: string): void {
    this.channel = undefined
    this.senders.lost()
    this.#station.lost?.()
    if (this.#left) return
    this.#holder.log.debug({ channel: this.#station.name, why }, 'channel lost')
    this.#holder.changed(false)
    void this.reopen(model)
  }
}
