import { once } from 'node:events'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemClock } from '../../../../src/core/base/clock.ts'
import { exec } from '../../../../src/core/base/exec.ts'
import { machineType, powerOf, runState } from '../../../../src/core/virt/qemu/machine.ts'
import { connectQmp, type QmpEvent } from '../../../../src/core/virt/qemu/qmp.ts'

type Request = { execute: string; id: number; arguments?: unknown }
const greeting = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": []}}\r\n'

let dir: string
let path: string
let server: Server
/** What the server says to each request; undefined says nothing. */
let answer: (request: Request, socket: Socket) => unknown

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nova-qmp-'))
  path = join(dir, 'qmp')
  answer = () => ({ return: {} })
})
afterEach(async () => {
  server?.close()
  await rm(dir, { recursive: true, force: true })
})

async function listen(hello = greeting): Promise<void> {
  server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write(hello)
    const lines = createInterface(socket).on('error', () => undefined)
    lines.on('line', (line) => {
      const request = JSON.parse(line) as Request
      const said = request.execute === 'qmp_capabilities' ? { return: {} } : answer(request, socket)
      if (said !== undefined) socket.write(`${JSON.stringify({ ...(said as object), id: request.id })}\r\n`)
    })
  })
  server.listen(path)
  await once(server, 'listening')
}
const connect = (timeoutMs = 1000) => connectQmp(path, { clock: systemClock, timeoutMs })

test('negotiates, asks and gets the answer', async () => {
  answer = ({ execute, arguments: args }) => ({ return: { execute, args } })
  await listen()
  const qmp = await connect()
  expect(await qmp.execute('query-status')).toEqual({ execute: 'query-status' })
  expect(await qmp.execute('migrate', { uri: 'x' })).toEqual({ execute: 'migrate', args: { uri: 'x' } })
  qmp.close()
  await qmp.closed
})

test('tells answers apart that come in another order', async () => {
  const waiting: Array<() => void> = []
  answer = ({ execute, id }, socket) => {
    waiting.push(() => socket.write(`${JSON.stringify({ return: execute, id })}\n`))
    if (waiting.length === 2) for (const say of waiting.reverse()) say()
    return undefined
  }
  await listen()
  const qmp = await connect()
  expect(await Promise.all([qmp.execute('first'), qmp.execute('second')])).toEqual(['first', 'second'])
  qmp.close()
})

test('rejects in the words of QEMU', async () => {
  answer = () => ({ error: { class: 'GenericError', desc: 'Guest is waiting' } })
  await listen()
  const qmp = await connect()
  await expect(qmp.execute('cont')).rejects.toThrow('Guest is waiting')
  qmp.close()
})

test('hears events, whole or in pieces', async () => {
  answer = (_request, socket) => {
    const event = JSON.stringify({ event: 'SHUTDOWN', data: { guest: true }, timestamp: {} })
    socket.write(event.slice(0, 20))
    setImmediate(() => socket.write(`${event.slice(20)}\n{"event":"STOP"}\n{"return":{},"id":2}\n`))
    return undefined
  }
  await listen()
  const qmp = await connect()
  const events: QmpEvent[] = []
  qmp.onEvent((event) => events.push(event))
  await qmp.execute('system_powerdown')
  expect(events).toEqual([
    { event: 'SHUTDOWN', data: { guest: true } },
    { event: 'STOP', data: {} },
  ])
  qmp.close()
})

test('gives up on an answer that does not come, and goes on', async () => {
  answer = ({ execute }) => (execute === 'never' ? undefined : { return: 1 })
  await listen()
  const qmp = await connect()
  await expect(qmp.execute('never', undefined, 30)).rejects.toThrow('QEMU does not answer to never within 30 ms')
  expect(await qmp.execute('other')).toBe(1)
  qmp.close()
})

test('gives up on a greeting that does not come: another client has the socket', async () => {
  await listen('')
  await expect(connect(30)).rejects.toThrow(/does not greet; another client may hold its socket/)
})

test('fails where nobody listens', async () => {
  await expect(connect()).rejects.toThrow(/ENOENT/)
  await listen()
})

test('rejects what is open, and what comes after, when the connection ends', async () => {
  answer = (_request, socket) => {
    socket.destroy()
    return undefined
  }
  await listen()
  const qmp = await connect()
  await expect(qmp.execute('quit')).rejects.toThrow('QEMU ended the connection')
  await qmp.closed
  await expect(qmp.execute('query-status')).rejects.toThrow('QEMU ended the connection')
})

test('goes nowhere by a link, and connects to nothing but a socket', async () => {
  await listen()
  const [link, fifo, file] = ['link', 'fifo', 'file'].map((name) => join(dir, name)) as [string, string, string]
  await symlink(path, link)
  await exec('mkfifo', [fifo])
  await writeFile(file, '')
  for (const place of [link, fifo, file, dir])
    await expect(connectQmp(place, { clock: systemClock, timeoutMs: 1000 })).rejects.toThrow('is none')
})

test('ends a conversation whose messages have no end', async () => {
  const mib = 'x'.repeat(1 << 20)
  answer = ({ execute }, socket) => {
    if (execute === 'long') return { return: mib.repeat(3) }
    socket.write(`{"return": "${mib.repeat(5)}`)
    return undefined
  }
  await listen()
  const qmp = await connect()
  expect(await qmp.execute('long')).toHaveLength(3 << 20)
  await expect(qmp.execute('endless')).rejects.toThrow('QEMU sent more than 4 MiB in one message')
  await qmp.closed
})

test('believes no machine type and no run state that are none', async () => {
  let told: unknown
  answer = () => ({ return: told })
  await listen()
  const qmp = await connect()
  told = 'pc-q35-7.2-machine'
  expect(await machineType(qmp)).toBe('pc-q35-7.2')
  for (told of ['q35,firmware=/x-machine', '-machine', 'q35', null, {}, `${'x'.repeat(100)}-machine`])
    await expect(machineType(qmp)).rejects.toThrow('does not tell the type')
  told = { status: '__proto__' }
  expect(powerOf(await runState(qmp))).toBe('PAUSED')
  qmp.close()
})

test('ends a conversation that is not QMP', async () => {
  await listen('SSH-2.0-OpenSSH\r\n')
  await expect(connect()).rejects.toThrow(/not a QMP message/)
})
