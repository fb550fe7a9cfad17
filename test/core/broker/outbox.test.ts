import type { Socket } from 'node:net'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { frame, frameOverhead } from '../../../src/core/broker/frames.ts'
import type { Message } from '../../../src/core/broker/message.ts'
import { Outbox } from '../../../src/core/broker/outbox.ts'

test('every frame ends with its end byte, wherever a slab ends', () => {
  const written: Buffer[] = []
  const socket = new PassThrough()
  socket.write = ((piece: Buffer) => written.push(Buffer.from(piece)) > 0) as typeof socket.write
  const outbox = new Outbox(socket as unknown as Socket, 131_072, {
    schedule: () => undefined,
    onRoom: () => undefined,
  })
  // Small steps in size push the large bodies' ends over every place in a slab.
  const large = Buffer.alloc(20_000, 7)
  for (let i = 0; i < 5000; i++) {
    outbox.method(1, Buffer.alloc(i % 97, 1))
    outbox.content(1, Buffer.alloc(5), {
      route: Buffer.alloc(4),
      header: Buffer.alloc(14),
      body: large,
    } as unknown as Message)
    outbox.flush()
  }
  const bytes = Buffer.concat(written)
  let frames = 0
  for (let at = 0; at < bytes.length; frames++) {
    at += bytes.readUInt32BE(at + 3) + frameOverhead
    if (bytes[at - 1] !== frame.end) expect.fail(`frame ${frames} does not end with ${frame.end}`)
  }
  expect(frames).toBe(5000 * 4)
})
