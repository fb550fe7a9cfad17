import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import type { Clock } from '../base/clock.ts'
import { fail, isFailure, reason } from '../base/errors.ts'
import type { DiskReader } from '../virt/driver.ts'
import {
  extentMax,
  frames,
  Link,
  macBytes,
  macOf,
  provenMax,
  type Session,
  sameMac,
  u64,
  unprovenMax,
} from './transfer-link.ts'
import type { Report } from './transfer-progress.ts'

/** Where a host expects a transfer, and what proves that we may send it. */
export type Destination = { address: string; port: number; operation: string; secret: string }

type SendDeps = { clock: Clock; nonce: () => Buffer; idleMs: number; connectMs: number }

/** See `Transfers.send`. */
export async function sendDisk(
  deps: SendDeps,
  to: Destination,
  reader: DiskReader,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted()
  let link: Link | undefined
  const abort = () => link?.destroy(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    link = new Link(await connect(deps, to, signal), deps)
    const session = await authenticate(deps, link, to)
    link.proven()
    await transfer(link, session, reader, report, signal)
  } catch (e) {
    if (signal.aborted) throw signal.reason
    if (isFailure(e)) throw e
    fail('TransferFailed', { why: reason(e) }, e)
  } finally {
    signal.removeEventListener('abort', abort)
    link?.destroy(new Error('the transfer is over'))
  }
}

async function connect({ clock, connectMs }: SendDeps, { address, port }: Destination, signal: AbortSignal) {
  const tooLate = new AbortController()
  const stop = clock.after(connectMs, () => tooLate.abort())
  const socket = createConnection({ host: address, port, noDelay: true })
  try {
    await once(socket, 'connect', { signal: AbortSignal.any([signal, tooLate.signal]) })
    return socket
  } catch (e) {
    socket.on('error', () => undefined)
    socket.destroy()
    // Its address is nothing that the owner of the instance should read.
    const why = tooLate.signal.aborted ? '' : `: ${(e as NodeJS.ErrnoException).code ?? reason(e)}`
    throw new Error(`the other host does not answer${why}`, { cause: e })
  } finally {
    stop()
  }
}

/** We prove that we know the secret, then the other side does. */
async function authenticate(deps: SendDeps, link: Link, { operation, secret }: Destination): Promise<Session> {
  const senderNonce = deps.nonce()
  await link.write(frames.hello, senderNonce, Buffer.from(operation))
  const session: Session = {
    secret,
    operation,
    senderNonce,
    receiverNonce: await link.expect(frames.challenge, unprovenMax),
  }
  await link.write(frames.proof, macOf(session, 'sender'))
  let frame: { type: number; body: Buffer }
  try {
    frame = await link.read(provenMax)
  } catch (e) {
    throw new Error(`the other host did not let us in: ${reason(e)}`, { cause: e })
  }
  if (frame.type === frames.refused) refusedBy(session, frame.body)
  if (frame.type !== frames.accept || !sameMac(frame.body, macOf(session, 'receiver'))) {
    throw new Error('the other host did not prove that it is the right one')
  }
  return session
}

async function transfer(link: Link, session: Session, reader: DiskReader, report: Report, signal: AbortSignal) {
  const answered = new AbortController()
  // It may refuse, or be done already, while we send.
  const answer = answerOf(link, session).finally(() => answered.abort(new Error('the other host has answered')))
  const sent = sendExtents(link, session, reader, report, AbortSignal.any([signal, answered.signal]))
  try {
    await Promise.race([answer, sent.then(() => answer)])
  } catch (e) {
    link.destroy(e as Error)
    throw e
  } finally {
    // The reader is the caller's to close, once nobody reads.
    if (answered.signal.aborted) link.destroy(new Error('the transfer is over'))
    await Promise.allSettled([sent, answer])
  }
  report({ doneBytes: reader.sizeBytes, totalBytes: reader.sizeBytes }, 'last')
}

async function sendExtents(
  link: Link,
  session: Session,
  reader: DiskReader,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const totalBytes = reader.sizeBytes
  const sum = createHash('sha256')
  let doneBytes = 0
  await link.write(frames.start, u64(totalBytes))
  for await (const extent of reader.extents(signal)) {
    signal.throwIfAborted()
    for (let at = 0; at < extent.data.length; at += extentMax) {
      const offset = u64(extent.offset + at)
      const data = extent.data.subarray(at, at + extentMax)
      sum
        .update(u64(offset.length + data.length))
        .update(offset)
        .update(data)
      await link.write(frames.extent, offset, data)
      doneBytes += data.length
      report({ doneBytes, totalBytes })
    }
  }
  const length = u64(reader.lengthBytes)
  await link.write(frames.end, length, macOf(session, 'end', length, sum.digest()))
}

/** Resolves when the other side says that it has all; fails with its reason if it refuses. */
async function answerOf(link: Link, session: Session): Promise<void> {
  const { type, body } = await link.read(provenMax)
  if (type === frames.refused) refusedBy(session, body)
  if (type !== frames.done || !sameMac(body, macOf(session, 'done'))) throw new Error('what came is no transfer')
}

function refusedBy(session: Session, body: Buffer): never {
  const why = body.subarray(macBytes)
  if (!sameMac(body.subarray(0, macBytes), macOf(session, 'refused', why))) throw new Error('what came is no transfer')
  return fail('TransferFailed', { why: why.toString() })
}
