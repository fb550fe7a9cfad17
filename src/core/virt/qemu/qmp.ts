import { once } from 'node:events'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { createConnection, type Socket } from 'node:net'
import type { Clock } from '../../base/clock.ts'
import { reason } from '../../base/errors.ts'

/** QEMU tells that something happened. Names and data as in QEMU's QMP reference manual. */
export type QmpEvent = { event: string; data: Record<string, unknown> }

/** A conversation with one QEMU process. QEMU talks with one client at a time. */
export type Qmp = {
  /** Rejects with QEMU's own words if it refuses, when the connection ends, and after `timeoutMs` without an answer. */
  execute(command: string, args?: Record<string, unknown>, timeoutMs?: number): Promise<unknown>
  onEvent(listener: (event: QmpEvent) => void): void
  /** Resolves when the connection has ended, by whichever side. */
  readonly closed: Promise<void>
  close(): void
}

type Message = {
  QMP?: unknown
  id?: number
  return?: unknown
  error?: { class: string; desc: string }
  event?: string
  data?: Record<string, unknown>
}

type Pending = { resolve: (value: unknown) => void; reject: (e: Error) => void; forget: () => void }

const commandTimeoutMs = 10_000

/** What QEMU may say without an end of line, and how much of its words on a failure is kept, in characters. */
const lineMax = 4 << 20
const wordsMax = 1_000

/** Of the system's open(2): the file itself is not opened, only found. Node has no name for it. */
const findOnly = 0o10000000

/**
 * Opens the QMP socket at `path` and negotiates. Fails if nobody listens there, if there is something else than a socket,
 * and after `timeoutMs` without a greeting: then another client holds it. The directory may be a hostile guest's: a link
 * there leads nowhere.
 */
export async function connectQmp(path: string, options: { clock: Clock; timeoutMs: number }): Promise<Qmp> {
  const found = await open(path, findOnly | constants.O_NOFOLLOW)
  try {
    if (!(await found.stat()).isSocket()) throw new Error('what is in place of its QMP socket is none')
    return await converse(`/proc/self/fd/${found.fd}`, options)
  } finally {
    await found.close()
  }
}

async function converse(path: string, options: { clock: Clock; timeoutMs: number }): Promise<Qmp> {
  const socket = createConnection(path)
  const conversation = new Conversation(socket, options.clock)
  try {
    await conversation.greeting(options.timeoutMs)
    await conversation.execute('qmp_capabilities', undefined, options.timeoutMs)
    return conversation
  } catch (e) {
    socket.destroy()
    throw e
  }
}

class Conversation implements Qmp {
  readonly closed: Promise<void>
  readonly #socket: Socket
  readonly #clock: Clock
  readonly #pending = new Map<number, Pending>()
  readonly #listeners: Array<(event: QmpEvent) => void> = []
  #greeted: (() => void) | undefined
  #why: Error | undefined
  #lastId = 0
  #unread = ''

  constructor(socket: Socket, clock: Clock) {
    this.#socket = socket
    this.#clock = clock
    socket.setEncoding('utf8')
    socket.on('data', (text: string) => this.#read(text))
    socket.on('error', (e) => this.#end(e))
    this.closed = once(socket, 'close').then(
      () => this.#end(new Error('QEMU ended the connection')),
      (e: unknown) => this.#end(new Error(reason(e))),
    )
  }

  greeting(timeoutMs: number): Promise<unknown> {
    return this.#wait(0, 'QEMU does not greet; another client may hold its socket', timeoutMs, (greeted) => {
      this.#greeted = () => greeted.resolve(undefined)
    })
  }

  execute(command: string, args?: Record<string, unknown>, timeoutMs = commandTimeoutMs): Promise<unknown> {
    if (this.#why) return Promise.reject(this.#why)
    this.#lastId += 1
    const id = this.#lastId
    return this.#wait(id, `QEMU does not answer to ${command}`, timeoutMs, () => {
      this.#socket.write(`${JSON.stringify({ execute: command, id, ...(args ? { arguments: args } : {}) })}\n`)
    })
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#listeners.push(listener)
  }

  close(): void {
    this.#socket.destroy()
  }

  #wait(id: number, late: string, timeoutMs: number, begin: (pending: Pending) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const forget = this.#clock.after(timeoutMs, () => {
        this.#pending.delete(id)
        reject(new Error(`${late} within ${timeoutMs} ms`))
      })
      const pending = { resolve, reject, forget }
      this.#pending.set(id, pending)
      begin(pending)
    })
  }

  #read(text: string): void {
    const lines = (this.#unread + text).split('\n')
    this.#unread = lines.pop() ?? ''
    for (const line of lines) {
      if (line.trim() === '') continue
      try {
        this.#take(JSON.parse(line) as Message)
      } catch (e) {
        this.#breakOff(`not a QMP message: ${reason(e).slice(0, wordsMax)}`)
        return
      }
    }
    if (this.#unread.length > lineMax) this.#breakOff(`QEMU sent more than ${lineMax >> 20} MiB in one message`)
  }

  #breakOff(why: string): void {
    this.#unread = ''
    this.#end(new Error(why))
    this.#socket.destroy()
  }

  #take(message: Message): void {
    if (message.event !== undefined) {
      for (const listener of this.#listeners) listener({ event: message.event, data: message.data ?? {} })
      return
    }
    const id = message.QMP === undefined ? message.id : 0
    const pending = id === undefined ? undefined : this.#pending.get(id)
    if (pending === undefined || id === undefined) return
    this.#pending.delete(id)
    pending.forget()
    if (id === 0) this.#greeted?.()
    else if (message.error) pending.reject(new Error(String(message.error.desc).slice(0, wordsMax)))
    else pending.resolve(message.return)
  }

  #end(why: Error): void {
    this.#why ??= why
    for (const pending of this.#pending.values()) {
      pending.forget()
      pending.reject(this.#why)
    }
    this.#pending.clear()
  }
}
