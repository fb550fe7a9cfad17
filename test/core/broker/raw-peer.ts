import { connect, type Socket } from 'node:net'
import { emptyTable } from '../../../src/core/broker/field-table.ts'
import { FrameReader, frame } from '../../../src/core/broker/frames.ts'
import { protocolHeader } from '../../../src/core/broker/handshake.ts'
import { type Args, type Method, type MethodName, readMethod, writeMethod } from '../../../src/core/broker/methods.ts'

/** A frame on the wire. */
export function frameOf(type: number, channel: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(7)
  head.writeUInt8(type, 0)
  head.writeUInt16BE(channel, 1)
  head.writeUInt32BE(payload.length, 3)
  return Buffer.concat([head, payload, Buffer.from([frame.end])])
}

export const methodFrame = <N extends MethodName>(channel: number, name: N, args: Args<N>): Buffer =>
  frameOf(frame.method, channel, writeMethod(name, args))

/** A peer that says exactly what it is told to, byte for byte. */
export class RawPeer {
  readonly socket: Socket
  readonly heard: Array<Method | 'heartbeat' | 'content'> = []
  /** Resolves when the other side has closed the socket. */
  readonly closed: Promise<void>
  #watchers: Array<() => void> = []

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1')
    this.socket.on('error', () => {})
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()))
    const frames = new FrameReader(1 << 20, (type, _channel, payload) => {
      if (type === frame.method) this.heard.push(readMethod(payload))
      else this.heard.push(type === frame.heartbeat ? 'heartbeat' : 'content')
      for (const each of this.#watchers.splice(0)) each()
      return true
    })
    this.socket.on('data', (chunk) => {
      // The answer to a greeting of another protocol is no frame.
      if (!chunk.subarray(0, 4).equals(protocolHeader.subarray(0, 4))) frames.push(chunk)
    })
  }

  write(...bytes: Buffer[]): void {
    this.socket.write(Buffer.concat(bytes))
  }

  send<N extends MethodName>(channel: number, name: N, args: Args<N>): void {
    this.write(methodFrame(channel, name, args))
  }

  /** Waits for a method, or for a heartbeat. */
  async hears<N extends MethodName>(name: N): Promise<Args<N>>
  async hears(name: 'heartbeat'): Promise<undefined>
  async hears(name: string): Promise<unknown> {
    for (;;) {
      const found = this.heard.find((each) => (typeof each === 'string' ? each : each.name) === name)
      if (found) return typeof found === 'string' ? undefined : found.args
      await new Promise<void>((resolve) => this.#watchers.push(resolve))
    }
  }

  /** The handshake up to an open connection, and channel 1. */
  async open(heartbeat = 0, clientProperties = emptyTable, virtualHost = '/'): Promise<void> {
    this.write(protocolHeader)
    await this.hears('connection.start')
    const response = Buffer.from('\0guest\0guest')
    this.send(0, 'connection.start-ok', { clientProperties, mechanism: 'PLAIN', response, locale: 'en_US' })
    const { channelMax, frameMax } = await this.hears('connection.tune')
    this.send(0, 'connection.tune-ok', { channelMax, frameMax, heartbeat })
    this.send(0, 'connection.open', { virtualHost, capabilities: '', insist: false })
    this.send(1, 'channel.open', { outOfBand: '' })
    await this.hears('channel.open-ok')
  }

  hangUp(): void {
    this.socket.destroy()
  }
}
