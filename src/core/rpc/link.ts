import type { ChannelModel } from 'amqplib'
import type { Clock } from '../base/clock.ts'
import { Failure, isFailure, reason } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import type { Log } from '../base/log.ts'
import { backoffMs } from '../base/retry.ts'
import type { Tls } from '../base/tls.ts'
import { type Address, heartbeatS, parseAddresses } from './address.ts'
import type { BusOptions } from './bus.ts'
import { cut, type Dialled, dial, hangUp, setupFailure, type Unreachable } from './dial.ts'
import type { Holder } from './holder.ts'
import { KeptChannel, type Station } from './kept-channel.ts'
import { type Reach, reachOf } from './reach.ts'
import { codeOf, replyCodes } from './reply-codes.ts'
import { properties } from './topology.ts'

/**
 * How long a new process waits for an exclusive queue of another connection: a broker gives up a silent peer after two
 * to three heartbeats.
 */
const lockedMs = 4 * heartbeatS * 1_000

/** How long a clean disconnect may take if the broker is blocked. */
const blockedLimitMs = 250

/** A process's connection to the broker, with the channels on it; it reconnects by itself. */
export class Link implements Holder {
  readonly clock: Clock
  readonly ids: Ids
  readonly log: Log
  readonly graceMs: number
  readonly stopped: AbortSignal
  readonly reach: Reach
  /** The properties of every message: also the login, which the broker verifies. */
  properties: typeof properties & { readonly userId: string }
  /** The same for messages that must come back if no queue takes them. */
  mandatory: Link['properties'] & { readonly mandatory: true }
  model: ChannelModel | undefined
  blocked: string | undefined
  readonly #name: string
  readonly #addresses: readonly Address[]
  readonly #connectTimeoutMs: number
  readonly #onRefused: NonNullable<BusOptions['onRefused']>
  readonly #tls: Tls | undefined
  readonly #channels = new Set<KeptChannel>()
  readonly #listeners = new Set<(up: boolean) => void>()
  readonly #stop = new AbortController()
  /** Why the connection is down, or was lost last. */
  #why = 'the connection was lost'
  #shown = ''
  /** What the broker refuses, so that waiting does not help. */
  #refusal: Unreachable | undefined
  #notifiedUp = true
  #leaving = Number.POSITIVE_INFINITY

  private constructor(options: BusOptions) {
    this.clock = options.clock
    this.ids = options.ids
    this.log = options.log
    this.graceMs = options.graceMs ?? 5_000
    this.stopped = this.#stop.signal
    this.#name = options.name
    const addresses = parseAddresses(options.url)
    const { username } = addresses[0].connect
    this.#addresses = addresses
    this.reach = reachOf(username)
    this.properties = { ...properties, userId: username }
    this.mandatory = { ...this.properties, mandatory: true }
    this.#tls = options.tls
    this.#onRefused = options.onRefused ?? (() => undefined)
    this.#connectTimeoutMs = options.connectTimeoutMs ?? 5_000
  }

  /**
   * Connects; later losses are repaired in the background. `ConfigInvalid`, `BusDown`, `BusRefused` or `BusUntrusted`
   * if the first attempt fails.
   */
  static async open(options: BusOptions): Promise<Link> {
    const link = new Link(options)
    await link.#rise(await link.#dial())
    return link
  }

  /** Whether the connection and every channel on it are up. */
  get up(): boolean {
    return this.model !== undefined && [...this.#channels].every((kept) => kept.channel !== undefined)
  }

  limit(): Promise<void> {
    // A blocked broker answers no request.
    const ms = this.blocked === undefined ? this.graceMs : Math.min(this.graceMs, blockedLimitMs)
    return new Promise((resolve) => void this.clock.after(ms, resolve))
  }

  patience(ms: number): number {
    return Math.max(0, Math.min(ms, this.#leaving - this.clock.now()))
  }

  /** Resolves when {@link patience} is over. */
  patienceOver(): Promise<void> {
    return new Promise((resolve) => void this.clock.after(this.patience(this.graceMs), resolve))
  }

  /**
   * This side is about to disconnect: from now on nobody waits longer than the grace period for a broker that accepts
   * no messages.
   */
  hasten(): void {
    if (this.#leaving !== Number.POSITIVE_INFINITY) return
    this.#leaving = this.clock.now() + this.graceMs
    for (const kept of this.#channels) kept.senders.hurry(this.graceMs)
  }

  refused(e: unknown): void {
    const failure = e === undefined ? undefined : setupFailure(this.#shown, e)
    this.#refusal = isFailure(failure, 'BusDown') ? undefined : failure
  }

  down(): Unreachable {
    if (this.#refusal !== undefined && !this.stopped.aborted) return this.#refusal
    const why = this.stopped.aborted ? 'this side has disconnected' : this.#why
    return new Failure('BusDown', { url: this.#addresses.map((address) => address.shown).join(','), why })
  }

  changed(renewed: boolean): void {
    const { up } = this
    if (up === this.#notifiedUp && !(renewed && up)) return
    this.#notifiedUp = up
    for (const listener of [...this.#listeners]) {
      try {
        listener(up)
      } catch (e) {
        this.log.error({ err: e }, 'a listener to the link failed')
      }
    }
  }

  onChange(listener: (up: boolean) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /**
   * Opens a channel and keeps it. If its first set-up fails, nothing is kept: `BusConflict` or `BusRefused` if the
   * broker would refuse again, otherwise `BusDown`.
   */
  async keep(station: Station): Promise<KeptChannel> {
    const kept = new KeptChannel(station, this)
    this.#channels.add(kept)
    const on = this.model
    try {
      // While the connection is down, nothing can be refused; the next connection opens the channel.
      if (on === undefined) await kept.ready()
      else await this.#openInTurn(kept, on, station.name)
    } catch (e) {
      if (on === undefined || this.model === on) {
        this.#channels.delete(kept)
        this.changed(false)
        throw isFailure(e) ? e : setupFailure(this.#shown, e)
      }
      await kept.ready()
    }
    this.changed(false)
    return kept
  }

  /**
   * Opens a channel for the first time. Its exclusive queue may still belong to the connection of an earlier process
   * until the broker notices that this process is gone: retries for {@link lockedMs}. An auto-delete exchange may go with
   * the last queue of another server between its declaration and our binding: retries, a few times.
   */
  async #openInTurn(kept: KeptChannel, on: ChannelModel, channel: string): Promise<void> {
    const until = this.clock.now() + lockedMs
    for (let attempt = 0; ; attempt++) {
      try {
        return await kept.open(on)
      } catch (e) {
        const locked = codeOf(e) === replyCodes.locked && this.clock.now() < until
        const gone = codeOf(e) === replyCodes.missing && attempt < 3
        if (!(locked || gone) || this.model !== on || this.stopped.aborted) throw e
        const what = locked ? 'queue is in use by another connection' : 'exchange was deleted while we bound to it'
        this.log.warn({ channel, attempt, why: reason(e) }, `${what}: retrying`)
      }
      await this.clock.sleep(backoffMs(attempt, this.ids.random()), this.stopped)
    }
  }

  /** As {@link keep}, without waiting: messages wait until the channel is up. */
  keepSoon(station: Station): KeptChannel {
    const kept = new KeptChannel(station, this)
    this.#channels.add(kept)
    const on = this.model
    if (on !== undefined) {
      const opened = kept.open(on).catch(() => kept.reopen(on))
      void opened.then(() => this.changed(false))
    }
    return kept
  }

  /** Cuts the current connection if there is one: the next one declares everything again. `why` is for the log. */
  renew(why: string): void {
    if (this.model !== undefined) cut(this.model, new Error(why))
  }

  /** Closes a channel for good. */
  async drop(kept: KeptChannel): Promise<void> {
    this.#channels.delete(kept)
    await kept.leave()
  }

  /** Disconnects; a frozen broker delays this for the grace period at most. */
  async close(): Promise<void> {
    this.#stop.abort()
    await Promise.all([...this.#channels].map((kept) => kept.leave()))
    this.#channels.clear()
    const last = this.model
    this.model = undefined
    if (last !== undefined) await hangUp(last, this.limit())
    this.changed(false)
  }

  #dial(): Promise<Dialled> {
    return dial(this.#addresses, { name: this.#name, timeoutMs: this.#connectTimeoutMs, tls: this.#tls })
  }

  async #rise({ address, model }: Dialled): Promise<void> {
    this.model = model
    this.#shown = address.shown
    this.properties = { ...properties, userId: address.connect.username }
    this.mandatory = { ...this.properties, mandatory: true }
    const bus = address.shown
    let last = 'the connection was closed'
    model.on('error', (e) => {
      last = reason(e)
    })
    model.on('close', (e) => this.#fall(model, e ? reason(e) : last))
    model.on('blocked', (why) => {
      if (this.model !== model) return
      this.blocked = `the broker is ${why}`
      this.log.warn({ bus, why }, 'broker blocked: it accepts no messages')
    })
    model.on('unblocked', () => {
      if (this.model !== model) return
      this.blocked = undefined
      this.log.info({ bus }, 'broker unblocked: it accepts messages again')
      for (const kept of this.#channels) kept.room()
    })
    await Promise.all([...this.#channels].map((kept) => kept.open(model).catch(() => void kept.reopen(model))))
  }

  #fall(model: ChannelModel, why: string): void {
    if (this.model !== model) return
    this.model = undefined
    this.blocked = undefined
    this.#why = why
    // After a moment for the goodbye to go out.
    this.clock.after(1_000, () => cut(model))
    this.log.warn({ bus: this.#shown, why }, 'bus connection lost')
    this.changed(false)
    void this.#fix()
  }

  async #fix(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      await this.clock.sleep(backoffMs(attempt, this.ids.random()), this.stopped)
      if (this.stopped.aborted) return
      try {
        const next = await this.#dial()
        if (this.stopped.aborted) return cut(next.model)
        this.#refusal = undefined
        await this.#rise(next)
        // Lost again already: another round of reconnecting has begun.
        if (this.model !== next.model) return
        this.log.info({ bus: this.#shown, attempts: attempt + 1 }, 'bus connection restored')
        return this.changed(true)
      } catch (e) {
        this.#refusal = isFailure(e, 'BusRefused') ? e : undefined
        if (isFailure(e, 'BusRefused')) this.#onRefused(e)
        this.#why = isFailure(e, 'BusDown') || isFailure(e, 'BusRefused') ? e.params.why : reason(e)
        this.log.debug({ bus: this.#shown, why: this.#why, attempt }, 'bus not reachable yet: retrying')
      }
    }
  }
}
