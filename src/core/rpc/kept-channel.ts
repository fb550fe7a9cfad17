import type { Channel, ChannelModel } from 'amqplib'
import { reason } from '../base/errors.ts'
import { backoffMs } from '../base/retry.ts'
import type { Holder } from './holder.ts'
import { Senders } from './senders.ts'

/** The purpose of a channel: how to set it up, and what to do when it is lost. */
export type Station = {
  /** For the log. */
  readonly name: string
  /** Whether the channel is in confirm mode. */
  readonly confirm?: boolean
  /**
   * Declares and consumes on a newly opened channel, each time again. Messages that wait in `senders` leave after that.
   */
  setup(channel: Channel, senders: Senders): Promise<void>
  /** The broker accepts messages again. */
  room?(): void
  /** The channel is lost, with everything in flight on it. */
  lost?(): void
}

/** Closes a channel, whatever state it is in. */
const closeQuietly = async (channel: Channel): Promise<void> => {
  await channel.close().catch(() => undefined)
}

/** A channel that is reopened whenever it is lost, for as long as its link lives. */
export class KeptChannel {
  /** Undefined while there is none. */
  channel: Channel | undefined
  /** Publishes messages on the channel. */
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

  /** The channel, as soon as there is one; `BusDown` if there is none within the link's grace period. */
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

  /** Opens the channel on a connection; rejects if that fails. For the link only. */
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

  /** The broker accepts messages again. */
  room(): void {
    this.senders.go()
    if (this.senders.clear) this.#station.room?.()
  }

  /** Retries while the connection is up. For the link only. */
  async reopen(model: ChannelModel): Promise<void> {
    const { clock, ids, log, stopped } = this.#holder
    const { name } = this.#station
    for (let attempt = 0; ; attempt++) {
      await clock.sleep(backoffMs(attempt, ids.random()), stopped)
      // If the connection is lost too, the link opens this channel on the next one.
      if (this.#left || this.#holder.model !== model) return
      try {
        await this.open(model)
        this.#holder.refused(undefined)
        log.info({ channel: name }, 'channel reopened')
        return this.#holder.changed(true)
      } catch (e) {
        this.#holder.refused(e)
        if (this.#holder.model === model) log.warn({ channel: name, why: reason(e) }, 'channel not opened: retrying')
      }
    }
  }

  /** Sends buffered messages, then closes the channel for good. For the link only. */
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
