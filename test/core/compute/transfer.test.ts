import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { type Clock, systemClock } from '../../../src/core/base/clock.ts'
import { deferred } from '../../../src/core/base/concurrency.ts'
import { isFailure } from '../../../src/core/base/errors.ts'
import { systemIds } from '../../../src/core/base/ids.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { openTransfers, type TransferDeps } from '../../../src/core/compute/transfer.ts'
import type { DiskReader, DiskWriter } from '../../../src/core/virt/driver.ts'
import { openFake } from '../../../src/core/virt/fake/driver.ts'
import { guest } from './rig.ts'

const mib = 1 << 20
const secret = 'a'.repeat(64)
const ticket = { operation: 'op-1', secret }
const never = new AbortController().signal
const nothing = () => undefined

/** Extents of a disk: where, how much, and the byte that fills them. */
type Extent = [offset: number, length: number, fill: number]

class MemoryDisk implements DiskReader, DiskWriter {
  readonly sizeBytes: number
  /** Extents that were read of it, and writes to it. */
  read = 0
  written: Array<{ offset: number; data: Buffer }> = []
  events: string[] = []
  whileReading: (nth: number) => Promise<void> | void = nothing
  whileWriting: (nth: number) => Promise<void> | void = nothing
  whileCompleting: () => Promise<void> | void = nothing

  constructor(
    readonly lengthBytes = 0,
    readonly disk: readonly Extent[] = [],
  ) {
    this.sizeBytes = disk.reduce((sum, [, length]) => sum + length, 0)
  }

  async *extents(signal?: AbortSignal) {
    for (const [offset, length, fill] of this.disk) {
      await this.whileReading(this.read)
      signal?.throwIfAborted()
      this.read += 1
      yield { offset, data: Buffer.alloc(length, fill) }
    }
  }
  async close() {}

  async write(offset: number, data: Buffer) {
    await this.whileWriting(this.written.length)
    this.written.push({ offset, data: Buffer.from(data) })
  }
  async restart() {
    this.events.push('restart')
    this.written = []
  }
  async complete(sizeBytes: number) {
    await this.whileCompleting()
    this.events.push(`complete ${sizeBytes}`)
  }
  async abort() {
    this.events.push('abort')
  }

  /** What was written, extents that touch joined. */
  get content(): Extent[] {
    const out: Extent[] = []
    for (const { offset, data } of this.written) {
      const last = out.at(-1)
      const fill = data[0] ?? 0
      expect(data.equals(Buffer.alloc(data.length, fill))).toBe(true)
      if (last && last[0] + last[1] === offset && last[2] === fill) last[1] += data.length
      else out.push([offset, data.length, fill])
    }
    return out
  }
}

const sparse: Extent[] = [
  [0, 65_536, 1],
  [5 * mib, 3 * mib + 7, 2],
  [900 * mib, mib, 3],
]
const disk = (extents = sparse) => new MemoryDisk(1024 * mib, extents)
const large = (count: number) => disk(Array.from({ length: count }, (_, i): Extent => [i * mib, mib, (i % 255) + 1]))

function transfers(change: Partial<TransferDeps> = {}) {
  const options = { migrationAddress: '127.0.0.1', migrationPort: 0 }
  const opened = openTransfers({ clock: systemClock, ids: systemIds, log: silentLog, options, ...change })
  onTestFinished(() => opened.close())
  return opened
}

/** Two hosts, and a transfer that one of them expects. */
async function expecting(change: Partial<TransferDeps> = {}) {
  const to = transfers(change)
  const from = transfers(change)
  const writer = new MemoryDisk()
  const progress = vi.fn()
  const expected = await to.expect(ticket, writer, progress)
  const { address, port } = expected
  const send = (reader: DiskReader, other: Partial<typeof ticket & { port: number }> = {}, signal = never) =>
    from.send({ address, port, ...ticket, ...other }, reader, nothing, signal)
  return { to, from, writer, expected, progress, send, port }
}

const failed = (why: RegExp) =>
  expect.toSatisfy((e: unknown) => isFailure(e, 'TransferFailed') && why.test(e.message), `TransferFailed ${why}`)

/** A line to `port` that sees, changes or cuts what passes. */
async function between(port: number, there: (chunk: Buffer, before: number) => Buffer | 'cut', back = there) {
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1')
    const pass = (from: Socket, to: Socket, change: typeof there) => {
      let before = 0
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.on('data', (chunk) => {
        const out = change(chunk, before)
        before += chunk.length
        if (out === 'cut') from.destroy()
        else if (!to.write(out)) {
          from.pause()
          to.once('drain', () => from.resume())
        }
      })
    }
    pass(near, far, there)
    pass(far, near, back)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  return (server.address() as AddressInfo).port
}
const asIs = (chunk: Buffer) => chunk

describe('a transfer', () => {
  test('brings each extent to its place, and what lies between is not sent', async () => {
    const { send, writer, expected, progress } = await expecting()
    await send(disk())
    await expected.done
    expect(writer.content).toEqual(sparse)
    expect(writer.written.every(({ data }) => data.length <= mib)).toBe(true)
    expect(writer.events).toEqual(['restart', `complete ${1024 * mib}`])
    const total = { totalBytes: disk().sizeBytes }
    expect(progress.mock.calls.at(-1)).toEqual([{ ...total, doneBytes: disk().sizeBytes }])
  })

  test('of nothing completes as well', async () => {
    const { send, writer } = await expecting()
    await send(new MemoryDisk())
    expect(writer.events).toEqual(['restart', 'complete 0'])
  })

  test('tells of its progress four times a second at most, and at its end', async () => {
    let now = 0
    const clock: Clock = { ...systemClock, now: () => now }
    const from = transfers({ clock })
    const to = transfers()
    const { address, port } = await to.expect(ticket, new MemoryDisk(), nothing)
    const reader = large(40)
    reader.whileReading = () => {
      now += 50
    }
    const told: Array<[number, number]> = []
    await from.send({ address, port, ...ticket }, reader, ({ doneBytes }) => told.push([now, doneBytes / mib]), never)
    expect(told).toEqual([[50, 1], ...Array.from({ length: 7 }, (_, i) => [300 + 250 * i, 6 + 5 * i]), [2000, 40]])
  })

  test('never shows its secret', async () => {
    const { send, port, writer } = await expecting()
    const seen: Buffer[] = []
    const note = (chunk: Buffer) => {
      seen.push(Buffer.from(chunk))
      return chunk
    }
    await send(disk(), { port: await between(port, note) })
    expect(writer.content).toEqual(sparse)
    const all = Buffer.concat(seen)
    expect(all.includes(secret)).toBe(false)
    expect(all.includes(Buffer.from(secret, 'hex'))).toBe(false)
  })

  test('of a fake guest takes its console along', async () => {
    const deps = { clock: systemClock, ids: systemIds }
    const [here, there] = [openFake(deps), openFake(deps)]
    const image = { disk: undefined, kernel: '/k', ramdisk: undefined }
    const moved = guest(systemIds.uuid())
    await here.createDisk(moved, image)
    await here.start(moved)
    await here.stop(moved.id, 0)
    const { address, port, done } = await transfers().expect(ticket, await there.importDisk(moved, image), nothing)
    await transfers().send({ address, port, ...ticket }, await here.exportDisk(moved.id), nothing, never)
    await done
    expect(await there.power(moved.id)).toBe('SHUTDOWN')
    expect(await there.consoleLog(moved.id)).toBe(await here.consoleLog(moved.id))
    expect(await there.consoleLog(moved.id)).toContain('GUEST-READY')
  })
})

describe('who does not know the secret', () => {
  test('learns nothing, changes nothing, and is in nobody else’s way', async () => {
    const { send, writer } = await expecting()
    const wrong = await send(disk(), { secret: 'b'.repeat(64) }).catch((e: Error) => e)
    const unknown = await send(disk(), { operation: 'op-2' }).catch((e: Error) => e)
    expect(wrong).toEqual(failed(/the other host did not let us in/))
    expect((unknown as Error).message).toBe((wrong as Error).message)
    expect(writer.events).toEqual([])
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test('gets nothing by playing the host that is waited for', async () => {
    const impostor = createServer((socket) => {
      socket.on('error', nothing)
      // A challenge, and an acceptance that proves nothing.
      socket.write(Buffer.concat([Buffer.from([2, 0, 0, 0, 32]), Buffer.alloc(32, 1)]))
      socket.write(Buffer.concat([Buffer.from([4, 0, 0, 0, 32]), Buffer.alloc(32, 2)]))
    })
    impostor.listen(0, '127.0.0.1')
    await once(impostor, 'listening')
    onTestFinished(() => void impostor.close())
    const reader = disk()
    const to = { address: '127.0.0.1', port: (impostor.address() as AddressInfo).port, ...ticket }
    await expect(transfers().send(to, reader, nothing, never)).rejects.toEqual(
      failed(/did not prove that it is the right one/),
    )
    expect(reader.read).toBe(0)
  })

  const raw = async (port: number) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', nothing)
    socket.resume()
    await once(socket, 'connect')
    return socket
  }

  test('is let go if it says nothing', async () => {
    const clock: Clock = { ...systemClock, after: (ms, fn) => systemClock.after(ms / 50, fn) }
    const { port, send, writer } = await expecting({ clock })
    await once(await raw(port), 'close')
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test.each([
    ['a frame that is too long', Buffer.from([1, 0, 0, 16, 0])],
    ['no frame of the protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['signs of life without end', Buffer.concat(Array(2000).fill(Buffer.from([10, 0, 0, 0, 0])))],
  ])('is let go at once if it sends %s', async (_what, bytes) => {
    const { port } = await expecting()
    const socket = await raw(port)
    socket.write(bytes)
    await once(socket, 'close')
  })

  test('holds a few connections at most', async () => {
    const { port, send, writer } = await expecting()
    const held = await Promise.all(Array.from({ length: 16 }, () => raw(port)))
    await once(await raw(port), 'close')
    held[0]?.destroy()
    await vi.waitFor(() => send(disk()), 5000)
    expect(writer.content).toEqual(sparse)
    for (const socket of held) socket.destroy()
  })
})

describe('a transfer that fails', () => {
  test('for a connection that was cut begins again from the start', async () => {
    const { send, writer, port, expected } = await expecting()
    const cut = await between(port, (chunk, before) => (before > 3 * mib ? 'cut' : chunk))
    await expect(send(disk(), { port: cut })).rejects.toEqual(failed(/the connection was lost/))
    await send(disk())
    await expected.done
    expect(writer.content).toEqual(sparse)
    expect(writer.events).toEqual(['restart', 'restart', `complete ${1024 * mib}`])
  })

  test('for one byte that is not what was sent completes nothing, and can be tried again', async () => {
    const { send, writer, port } = await expecting()
    const changed = await between(
      port,
      (chunk, before) => {
        const at = 2 * mib - before
        if (at >= 0 && at < chunk.length) chunk[at]! ^= 1
        return chunk
      },
      asIs,
    )
    const reader = disk([[0, 4 * mib, 5]])
    await expect(send(reader, { port: changed })).rejects.toEqual(failed(/what came is not what was sent/))
    expect(writer.events).toEqual(['restart'])
    await send(reader)
    expect(writer.content).toEqual([[0, 4 * mib, 5]])
    expect(writer.events).toEqual(['restart', 'restart', `complete ${1024 * mib}`])
  })

  test.each(['whileWriting', 'whileCompleting'] as const)('for the other side (%s) says why', async (when) => {
    const { send, writer } = await expecting()
    writer[when] = () => Promise.reject(new Error('no space left on the device'))
    await expect(send(disk())).rejects.toEqual(failed(/new host: no space left on the device\.$/))
    writer[when] = nothing
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test('for the reader says why, and the other side goes on waiting', async () => {
    const { send, writer } = await expecting()
    const reader = disk()
    reader.whileReading = (nth) => (nth === 1 ? Promise.reject(new Error('its disk was changed')) : undefined)
    await expect(send(reader)).rejects.toEqual(failed(/its disk was changed/))
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test('for a host where nobody waits says so', async () => {
    const { send, expected } = await expecting()
    await expected.cancel()
    await expect(send(disk())).rejects.toEqual(failed(/new host: the other host does not answer: ECONNREFUSED\.$/))
  })

  test('only in that its end was not heard is done when it is tried again', async () => {
    const { send, writer, port, expected } = await expecting()
    // The challenge and the acceptance take 37 bytes each.
    const deaf = await between(port, asIs, (chunk, before) => (before + chunk.length > 74 ? 'cut' : chunk))
    await expect(send(disk(), { port: deaf })).rejects.toEqual(failed(/the connection was lost/))
    await expected.done
    const again = disk()
    await send(again)
    expect(writer.events).toEqual(['restart', `complete ${1024 * mib}`])
    expect(writer.content).toEqual(sparse)
  })
})

describe('a transfer that is cancelled', () => {
  test('by its sender ends with that reason, and may be sent again', async () => {
    const { send, writer } = await expecting()
    const stop = new AbortController()
    const reader = large(8)
    reader.whileReading = (nth) => {
      if (nth === 3) stop.abort(new Error('taken back'))
    }
    await expect(send(reader, {}, stop.signal)).rejects.toThrow('taken back')
    await expect(send(disk(), {}, stop.signal)).rejects.toThrow('taken back')
    expect(writer.events).toEqual(['restart'])
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test('by its receiver ends on both sides, and leaves nothing', async () => {
    const { send, writer, expected, port } = await expecting()
    const reached = deferred()
    writer.whileWriting = (nth) => {
      if (nth === 3) reached.resolve()
    }
    const reader = large(200)
    const sent = expect(send(reader)).rejects.toEqual(failed(/the transfer was cancelled/))
    await reached.promise
    await expected.cancel()
    await sent
    await expect(expected.done).rejects.toEqual(failed(/it was cancelled/))
    expect(writer.events).toEqual(['restart', 'abort'])
    expect(reader.read).toBeLessThan(200)
    // Nothing else is expected, so nobody listens.
    const [error] = (await once(connect(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException]
    expect(error.code).toBe('ECONNREFUSED')
  })

  test('when it is done already stays done', async () => {
    const { send, writer, expected } = await expecting()
    await send(disk())
    await expected.cancel()
    await expected.done
    expect(writer.events).not.toContain('abort')
  })

  test('by another expectation of the same operation', async () => {
    const { to, send, writer, expected } = await expecting()
    const other = new MemoryDisk()
    const { port } = await to.expect({ ...ticket, secret: 'c'.repeat(64) }, other, nothing)
    await expect(expected.done).rejects.toEqual(failed(/it was cancelled/))
    expect(port).toBe(expected.port)
    await expect(send(disk())).rejects.toEqual(failed(/did not let us in/))
    await send(disk(), { secret: 'c'.repeat(64) })
    expect(other.content).toEqual(sparse)
    expect(writer.events).toEqual(['abort'])
  })
})

describe('time', () => {
  test('a receiver that writes slowly holds the sender back', async () => {
    const { send, writer } = await expecting()
    const go = deferred()
    writer.whileWriting = () => go.promise
    const reader = large(100)
    const sent = send(reader)
    // What the two kernels take in is all that the sender may be ahead.
    let before = -1
    await vi.waitFor(
      () => {
        const last = before
        before = reader.read
        expect(before > 0 && before === last).toBe(true)
      },
      { timeout: 20_000, interval: 300 },
    )
    expect(reader.read).toBeLessThan(40)
    go.resolve()
    await sent
    expect(writer.written).toHaveLength(100)
  })

  test('work that takes longer than one may be silent is waited for, on either side', async () => {
    const { send, writer } = await expecting({ idleMs: 600 })
    const reader = disk()
    reader.whileReading = () => systemClock.sleep(1300)
    writer.whileWriting = (nth) => (nth === 0 ? systemClock.sleep(1300) : undefined)
    writer.whileCompleting = () => systemClock.sleep(1300)
    await send(reader)
    expect(writer.content).toEqual(sparse)
  })

  test('a line that carries nothing any more is given up, and another takes its place', async () => {
    const { send, writer, port } = await expecting({ idleMs: 300 })
    let passed = 0
    const frozen = await between(port, (chunk) => {
      passed += chunk.length
      return passed > 2 * mib ? Buffer.alloc(0) : chunk
    })
    await expect(send(disk(), { port: frozen })).rejects.toEqual(failed(/was silent for 0\.3 s|connection was lost/))
    await send(disk())
    expect(writer.content).toEqual(sparse)
  })

  test('a second connection takes the place of one that hangs', async () => {
    const { send, writer } = await expecting()
    const reader = disk()
    const hangs = deferred()
    const reached = deferred()
    reader.whileReading = (nth) => {
      if (nth !== 1) return
      reached.resolve()
      return hangs.promise
    }
    const first = send(reader)
    await reached.promise
    await send(disk())
    hangs.resolve()
    await expect(first).rejects.toEqual(failed(/the connection was lost/))
    expect(writer.content).toEqual(sparse)
    expect(writer.events.filter((event) => event.startsWith('complete'))).toHaveLength(1)
  })
})

describe('the listener', () => {
  test('keeps its port from one transfer to the next', async () => {
    const { to, expected } = await expecting()
    await expected.cancel()
    const next = await to.expect({ ...ticket, operation: 'op-2' }, new MemoryDisk(), nothing)
    expect(next.port).toBe(expected.port)
  })

  test('takes another port if the one of before is gone, unless it was told which', async () => {
    const { to, expected } = await expecting()
    await expected.cancel()
    const squatter = createServer()
    squatter.listen(expected.port, '127.0.0.1')
    await once(squatter, 'listening')
    onTestFinished(() => void squatter.close())
    const { port } = await to.expect(ticket, new MemoryDisk(), nothing)
    expect(port).not.toBe(expected.port)
    const told = transfers({ options: { migrationAddress: '127.0.0.1', migrationPort: expected.port } })
    const refused = await told.expect(ticket, new MemoryDisk(), nothing).catch((e: unknown) => e)
    expect(isFailure(refused) && refused.message).toBe(
      `The instance could not be copied to its new host: that host cannot listen at its migration address, port ${expected.port} (EADDRINUSE).`,
    )
  })

  test('carries several transfers at once', async () => {
    const to = transfers()
    const from = transfers()
    const all = Array.from({ length: 5 }, (_, i) => ({ operation: `op-${i}`, secret: String(i).repeat(64) }))
    await Promise.all(
      all.map(async (one, i) => {
        const writer = new MemoryDisk()
        const { address, port } = await to.expect(one, writer, nothing)
        await from.send({ address, port, ...one }, disk([[i * mib, 2 * mib, i + 1]]), nothing, never)
        expect(writer.content).toEqual([[i * mib, 2 * mib, i + 1]])
      }),
    )
  })

  test('a secret that is too short is a mistake of ours', async () => {
    await expect(transfers().expect({ ...ticket, secret: 'short' }, new MemoryDisk(), nothing)).rejects.toThrow('bug:')
  })
})
