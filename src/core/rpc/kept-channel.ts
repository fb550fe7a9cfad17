import type { Channel, ChannelModel } from 'amqplib'
import { backoffMs } from '../base/backoff.ts'
import type { Clock } from '../base/clock.ts'
import { type Failure, reason } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'

/** What a channel is for: how to make it ready, and what to do when it is gone. */
export type Station = {
  /** For the log. */
  readonly name: string
  /** Whether the broker confirms what is published on it. */
  readonly confirm?: boolean
  /** Declares and consumes, on a channel that was just opened; every time anew. */
  setup(channel: Channel): Promise<void>
  /** The channel is gone, and with it what was under way on it. */
  lost?(): void
}

/** What a kept channel needs of its link. */
export type Holder = {
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly graceMs: number
  /** Aborted when the link is closed. */
  readonly stopped: AbortSignal
  /** The connection of now. */
  readonly model: ChannelModel | undefined
  /** Resolves after the grace, and does not keep the process alive. */
  limit(): Promise<void>
  /** Why nothing can be sent. */
  down(): Failure<'BusDown'>
  /** Tells the listeners that something came or went. */
  changed(renewed: boolean): void
}

/** Closes a channel, whatever state it is in. */
const closeQuietly = async (channel: Channel): Promise<void> => {
  await channel.close().catch(() => undefined)
}

/** A channel that is opened anew whenever it is lost, for as long as its link lives. */
export class KeptChannel {
  /** Undefined while there is none. */
  channel: Channel | undefined
  readonly #station: Station
  readonly #holder: Holder
  readonly #waiting = new Set<(channel: Channel) => void>()
  #left = false

  constructor(station: Station, holder: Holder) {
    this.#station = station
    this.#holder = holder
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
      await this.#station.setup(channel)
      if (!alive) throw new Error(why)
    } catch (e) {
      if (alive) await closeQuietly(channel)
      throw e
    }
    if (this.#left) return closeQuietly(channel)
    this.channel = channel
    for (const take of [...this.#waiting]) take(channel)
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
    const { channel } = this
    if (channel !== undefined) await Promise.race([closeQuietly(channel), this.#holder.limit()])
    this.channel = undefined
  }

  #gone(model: ChannelModel, why: string): void {
    this.channel = undefined
    this.#station.lost?.()
    if (this.#left) return
    this.#holder.log.debug({ channel: this.#station.name, why }, 'channel lost')
    this.#holder.changed(false)
    void this.reopen(model)
  }
}
