import type { Socket } from 'node:net'
import type { Access } from './access.ts'
import { AmqpError, refuse } from './amqp-error.ts'
import { Channel, type Peer } from './channel.ts'
import { handleMethod } from './channel-methods.ts'
import type { ConnectionDeps } from './connection-deps.ts'
import type { Table } from './field-table.ts'
import { Flow } from './flow.ts'
import { FrameReader, frame, frameMinSize } from './frames.ts'
import {
  capable,
  greeting,
  patienceMs,
  protocolHeader,
  refusedAfterMs,
  startArgs,
  type Tuning,
  tune,
} from './handshake.ts'
import { startHeartbeat } from './heartbeat.ts'
import { authenticate, refusedText } from './login.ts'
import { type Args, type Method, type MethodName, readMethod, writeMethod } from './methods.ts'
import { Outbox } from './outbox.ts'
import { takeBody, takeHeader } from './publish.ts'
import type { Share } from './share.ts'
import type { Login, User } from './users.ts'
import type { Vhost } from './vhost.ts'

type Phase = 'header' | 'start' | 'login' | 'tune' | 'open' | 'running' | 'closing' | 'closed'

/** One peer: handshake, channels, heartbeat, flow control, and the close. */
export class Connection implements Peer {
  readonly outbox: Outbox
  readonly channels = new Map<number, Channel>()
  readonly deps: ConnectionDeps
  readonly #socket: Socket
  readonly #frames: FrameReader
  readonly #onClosed: (connection: Connection) => void
  #phase: Phase = 'header'
  #header = Buffer.alloc(0)
  #vhost: Vhost | undefined
  #user: User = { name: '', access: undefined }
  #share: Share | undefined
  #tuning: Tuning
  #wantsCancel = false
  readonly #flow: Flow
  #received = false
  #scheduled = false
  readonly #toConfirm = new Set<Channel>()
  #stopTimer: () => void
  #stopHeartbeat = () => {}
  /** Class and number of the current method: a close names them. */
  #current = [0, 0] as [number, number]

  constructor(socket: Socket, deps: ConnectionDeps, onClosed: (connection: Connection) => void) {
    this.#socket = socket
    this.deps = deps
    this.#onClosed = onClosed
    this.#tuning = deps.offer
    this.#frames = new FrameReader(frameMinSize, (type, channel, payload) => this.#onFrame(type, channel, payload))
    this.outbox = new Outbox(socket, deps.offer.frameMax, {
      schedule: () => this.#schedule(),
      onRoom: () => this.#onRoom(),
    })
    this.#flow = new Flow(socket, this.outbox, deps.alarm, (blocked) =>
      blocked ? this.#send('connection.blocked', { reason: 'low on memory' }) : this.#send('connection.unblocked', {}),
    )
    this.#stopTimer = deps.clock.after(patienceMs, () => this.#drop('no handshake in time'))
    socket.on('data', (chunk) => this.#onData(chunk))
    socket.on('error', (e) => deps.log.debug({ err: e }, 'connection failed'))
    socket.on('close', () => this.#end())
  }

  get vhost(): Vhost {
    return this.#vhost!
  }
  get user(): string {
    return this.#user.name
  }
  get access(): Access | undefined {
    return this.#user.access
  }
  get share(): Share | undefined {
    return this.#share
  }
  get messageBytes(): number {
    return this.#share?.limits.messageBytes ?? this.deps.messageBytes
  }
  get wantsCancel(): boolean {
    return this.#wantsCancel
  }

  // Incoming bytes

  #onData(chunk: Buffer): void {
    this.#received = true
    if (this.#phase === 'closed') return
    try {
      if (this.#phase === 'header') this.#onHeader(chunk)
      else this.#frames.push(chunk)
    } catch (e) {
      this.#fail(e)
    }
    this.#flow.took()
  }

  #onHeader(chunk: Buffer): void {
    this.#header = Buffer.concat([this.#header, chunk])
    const rest = greeting(this.#header)
    if (rest === 'foreign') {
      // A peer with another protocol version is told which one is spoken here (specification §4.2.2).
      this.#socket.end(protocolHeader)
      this.#end()
      return
    }
    if (rest === undefined) return
    this.#header = Buffer.alloc(0)
    this.#phase = 'start'
    this.#send('connection.start', startArgs)
    if (rest.length > 0) this.#frames.push(rest)
  }

  #onFrame(type: number, channel: number, payload: Buffer): boolean {
    if (type === frame.heartbeat) {
      if (channel !== 0) throw new AmqpError('FRAME_ERROR', 'heartbeat on a channel')
    } else if (channel === 0) {
      if (type !== frame.method) refuse('UNEXPECTED_FRAME', 'content on channel 0')
      this.#onConnectionMethod(readMethod(payload))
    } else if (this.#phase !== 'closing') {
      this.#onChannelFrame(type, channel, payload)
    }
    return this.#phase !== 'closed'
  }

  #onChannelFrame(type: number, number: number, payload: Buffer): void {
    if (this.#phase !== 'running') refuse('CHANNEL_ERROR', 'a channel before connection.open')
    const channel = this.channels.get(number)
    try {
      if (type !== frame.method) {
        if (!channel) refuse('CHANNEL_ERROR', "expected 'channel.open'")
        if (channel.closing) return
        this.#current = [60, 40]
        if (type === frame.header) takeHeader(channel, payload)
        else takeBody(channel, payload)
        return
      }
      if (payload.length < 4) refuse('SYNTAX_ERROR', 'method frame too short')
      this.#current = [payload.readUInt16BE(0), payload.readUInt16BE(2)]
      if (this.#current[0] === 20 && this.#current[1] !== 20) this.#onChannelMethod(number, channel, payload)
      else if (!channel) refuse('CHANNEL_ERROR', "expected 'channel.open'")
      else if (!channel.closing) handleMethod(channel, payload)
    } catch (e) {
      if (!(e instanceof AmqpError) || e.hard || !channel) throw e
      this.#failChannel(channel, e)
    }
  }

  // The handshake, and other methods of channel 0

  #onConnectionMethod(method: Method): void {
    this.#current = [10, 0]
    if (this.#phase === 'closing') {
      if (method.name === 'connection.close') this.#send('connection.close-ok', {})
      if (method.name === 'connection.close-ok' || method.name === 'connection.close') this.#hangUp()
      return
    }
    if (method.name === 'connection.close') {
      this.#giveUpChannels()
      this.#send('connection.close-ok', {})
      this.#hangUp()
    } else if (this.#phase === 'start' && method.name === 'connection.start-ok') this.#onStartOk(method.args)
    else if (this.#phase === 'tune' && method.name === 'connection.tune-ok') this.#onTuneOk(method.args)
    else if (this.#phase === 'open' && method.name === 'connection.open') this.#onOpen(method.args)
    else if (this.#phase === 'running' && method.name === 'connection.update-secret') {
      this.#send('connection.update-secret-ok', {})
    } else refuse('COMMAND_INVALID', `unexpected ${method.name} in connection state ${this.#phase}`)
  }

  #onStartOk({ mechanism, response, clientProperties }: Args<'connection.start-ok'>): void {
    this.#wantsCancel = capable(clientProperties, 'consumer_cancel_notify')
    this.#flow.wantsBlocked = capable(clientProperties, 'connection.blocked')
    this.#phase = 'login'
    authenticate(this.deps.users, mechanism, response, this.#socket.remoteAddress ?? 'local')
      .then((login) => this.#phase === 'login' && this.#onLogin(login, mechanism, clientProperties))
      .catch((e) => this.#fail(e))
  }

  #onLogin(login: Login, mechanism: string, clientProperties: Table): void {
    if (login === 'busy') this.#drop('too many logins at once')
    else if (login === 'refused') {
      this.deps.log.warn({ mechanism, from: this.#socket.remoteAddress }, 'login refused')
      this.#stopTimer()
      this.#stopTimer = this.deps.clock.after(refusedAfterMs, () => this.#refuseLogin(mechanism, clientProperties))
    } else this.#letIn(login)
  }

  #letIn(login: User): void {
    this.#user = login
    if (login.access !== undefined) {
      const share = this.deps.shares.of(login.name)
      share.take('connections')
      this.#share = share
    }
    this.deps.strangers.loggedIn(this.#socket)
    this.#phase = 'tune'
    this.#send('connection.tune', this.deps.offer)
  }

  #refuseLogin(mechanism: string, clientProperties: Table): void {
    // Older clients expect a refused login to close the socket without a word.
    if (!capable(clientProperties, 'authentication_failure_close')) this.#drop('login refused')
    else this.#fail(new AmqpError('ACCESS_REFUSED', refusedText(mechanism)))
  }

  #onTuneOk(args: Args<'connection.tune-ok'>): void {
    this.#tuning = tune(this.deps.offer, args)
    this.outbox.frameMax = this.#tuning.frameMax
    this.#frames.frameMax = this.#tuning.frameMax
    this.#phase = 'open'
  }

  #onOpen({ virtualHost }: Args<'connection.open'>): void {
    const vhost = this.deps.vhosts.get(virtualHost)
    if (!vhost) refuse('NOT_ALLOWED', `vhost ${virtualHost} not found`)
    this.#vhost = vhost
    this.#phase = 'running'
    this.#stopTimer()
    this.#send('connection.open-ok', { knownHosts: '' })
    if (this.#tuning.heartbeat === 0) return
    this.#stopHeartbeat = startHeartbeat(this.deps.clock, this.#tuning.heartbeat, {
      takeReceived: () => this.#takeReceived(),
      takeWritten: () => this.outbox.takeWritten(),
      beat: () => this.outbox.heartbeat(),
      onSilence: () => this.#drop(`silent for ${2 * this.#tuning.heartbeat} s`),
    })
  }

  /** A peer that we do not read from because the broker is full is not silent. */
  #takeReceived(): boolean {
    const received = this.#received || this.#flow.heldBack
    this.#received = false
    return received
  }

  // Channels

  #onChannelMethod(number: number, channel: Channel | undefined, payload: Buffer): void {
    const method = readMethod(payload)
    const answer = (name: 'channel.open-ok' | 'channel.close-ok') =>
      this.outbox.method(
        number,
        name === 'channel.open-ok' ? writeMethod(name, { channelId: Buffer.alloc(0) }) : writeMethod(name, {}),
      )
    if (method.name === 'channel.open') {
      if (channel) refuse('CHANNEL_ERROR', "second 'channel.open' seen")
      if (number > this.#tuning.channelMax) {
        refuse('NOT_ALLOWED', `channel ${number} is over the negotiated channel_max (${this.#tuning.channelMax})`)
      }
      this.#share?.take('channels')
      this.channels.set(number, new Channel(number, this))
      answer('channel.open-ok')
    } else if (method.name === 'channel.close') {
      if (!channel) refuse('CHANNEL_ERROR', "expected 'channel.open'")
      if (!channel.closing) this.#giveUp(channel)
      this.#forget(number)
      answer('channel.close-ok')
    } else if (method.name === 'channel.close-ok') {
      if (channel?.closing) this.#forget(number)
    } else if (channel && !channel.closing) {
      handleMethod(channel, payload)
    }
  }

  #forget(number: number): void {
    this.channels.delete(number)
    this.#share?.giveBack('channels')
  }

  /** Closes a channel for its client's mistake; the other channels stay open. */
  #failChannel(channel: Channel, e: AmqpError): void {
    this.deps.log.debug({ user: this.user, channel: channel.number, why: e.message }, 'channel closed')
    channel.flushConfirms()
    channel.closing = true
    this.#giveUp(channel)
    const [classId, methodId] = this.#current
    channel.reply('channel.close', { replyCode: e.code, replyText: e.message, classId, methodId })
  }

  #giveUp(channel: Channel): void {
    this.#toConfirm.delete(channel)
    channel.silence()
    channel.giveBack()
  }

  #giveUpChannels(): void {
    const channels = [...this.channels.values()]
    for (const { number } of channels) this.#forget(number)
    this.#toConfirm.clear()
    for (const channel of channels) channel.silence()
    for (const channel of channels) channel.giveBack()
    if (!this.#vhost) return
    for (const queue of [...this.#vhost.queues.values()]) {
      if (queue.declared.owner === this) this.#vhost.deleteQueue(queue)
    }
  }

  // Outgoing bytes

  #send<N extends MethodName>(name: N, args: Args<N>): void {
    this.outbox.method(0, writeMethod(name, args))
  }

  published(bytes: number): void {
    this.#flow.published(bytes)
  }

  confirmLater(channel: Channel): void {
    this.#toConfirm.add(channel)
    this.#schedule()
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.deps.flusher.add(() => this.#flush())
  }

  #flush(): void {
    for (const channel of this.#toConfirm) channel.flushConfirms()
    this.#toConfirm.clear()
    this.#scheduled = false
    this.outbox.flush()
  }

  #onRoom(): void {
    this.#flow.drained()
    for (const channel of this.channels.values()) channel.wake()
  }

  /** The broker has room again. */
  unblock(): void {
    this.#flow.unblock()
  }

  // The end

  #fail(e: unknown): void {
    const known = e instanceof AmqpError
    const error = known ? e : new AmqpError('INTERNAL_ERROR', '// The close')
    if (known) this.deps.log.warn({ user: this.user, why: e.message }, 'connection closed for a protocol error')
    else this.deps.log.error({ err: e, user: this.user }, 'bug: connection closed')
    this.close(error)
  }

  /** Closes with a reply code; disconnects when the peer has answered, or after a timeout. */
  close(error: AmqpError): void {
    if (this.#phase === 'closed' || this.#phase === 'closing' || this.#phase === 'header') {
      this.#drop(error.message)
      return
    }
    this.#giveUpChannels()
    this.#phase = 'closing'
    const [classId, methodId] = error.code === 320 ? [0, 0] : this.#current
    this.#send('connection.close', { replyCode: error.code, replyText: error.message, classId, methodId })
    this.#stopTimer()
    this.#stopTimer = this.deps.clock.after(patienceMs, () => this.#drop('no answer to close'))
  }

  /** Sends what is buffered and ends the socket. */
  #hangUp(): void {
    this.outbox.flush()
    this.#socket.end()
    this.#end()
    // A peer that never closes its side must not keep ours open.
    this.#stopTimer = this.deps.clock.after(patienceMs, () => this.#socket.destroy())
  }

  #drop(why: string): void {
    this.deps.log.info({ user: this.user, why }, 'connection dropped')
    this.#socket.destroy()
    this.#end()
  }

  /** Destroys the connection at once, as if it had been lost. */
  destroy(): void {
    this.#drop('the broker stops')
  }

  #end(): void {
    this.#stopTimer()
    this.#stopHeartbeat()
    if (this.#phase === 'closed') return
    this.#phase = 'closed'
    this.#giveUpChannels()
    this.#share?.giveBack('connections')
    this.#onClosed(this)
  }
}
