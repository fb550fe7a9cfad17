import { randomBytes } from 'node:crypto'
import type { Work } from '../../contracts/agent.ts'
import type { Ticket } from '../../contracts/kinds.ts'
import { imageFiles } from './boot.ts'
import { type ComputeVerb, type Context, guestOf, instanceOf, type Tools } from './tools.ts'

/** Whether the guest ran when the migration began: it runs again at the end, or if the migration is undone. */
const ranBefore = (work: Work): boolean => instanceOf(work).before === 'ACTIVE'

/** Waits at the target for the guest's disk, and tells the source where. */
async function receive({ driver, images, transfers }: Tools, context: Context<'migrate'>): Promise<void> {
  const { work, signal } = context
  const writer = await driver.importDisk(guestOf(work), await imageFiles({ images }, work, signal))
  const secret = randomBytes(32).toString('base64url')
  const incoming = await transfers.expect({ operation: work.operation.id, secret }, writer, (progress) =>
    context.progress({ what: 'disk', ...progress }),
  )
  const cancel = () => void incoming.cancel()
  signal.addEventListener('abort', cancel)
  try {
    await context.share({ receive: { address: incoming.address, port: incoming.port, secret } })
    await incoming.done
  } finally {
    signal.removeEventListener('abort', cancel)
    await incoming.cancel()
  }
  signal.throwIfAborted()
}

/**
 * Sends the guest's disk to where the target waits. A target that starts again waits with another ticket: the sending
 * begins again with that one.
 */
async function send({ driver, transfers, log }: Tools, context: Context<'migrate'>): Promise<void> {
  const { work, signal } = context
  let used: Ticket | undefined
  for (;;) {
    const ticket = await context.result('receive', used)
    used = ticket
    const reader = await driver.exportDisk(instanceOf(work).id)
    try {
      await transfers.send(
        { ...ticket, operation: work.operation.id },
        reader,
        (progress) => context.progress({ what: 'disk', ...progress }),
        signal,
      )
      return
    } catch (e) {
      signal.throwIfAborted()
      log.warn({ operation: work.operation.id, err: e }, 'the disk could not be sent; waiting for the target')
    } finally {
      await reader.close()
    }
  }
}

async function clean({ driver, images }: Tools, work: Work): Promise<void> {
  const { id } = instanceOf(work)
  await driver.destroy(id)
  await images.release(id)
}

/**
 * Moves a guest to another host: the target fetches the image and waits for the disk; the source shuts the guest down and
 * sends the disk; the target starts the guest if it ran before; the source cleans up.
 */
export const migrate: ComputeVerb<'migrate'> = {
  steps: {
    prepare: ({ images }, { work, signal }) => imageFiles({ images }, work, signal),
    receive,
    stop: ({ driver, shutdownMs }, { work, signal }) => driver.stop(instanceOf(work).id, shutdownMs, signal),
    send,
    async start({ driver }, { work, signal }) {
      if (ranBefore(work)) await driver.start(guestOf(work), signal)
    },
    clean: (tools, { work }) => clean(tools, work),
  },
  undo: {
    prepare: (tools, { work }) => clean(tools, work),
    receive: ({ driver }, { work }) => driver.destroy(instanceOf(work).id),
    async stop({ driver }, { work, signal }) {
      if (ranBefore(work)) await driver.start(guestOf(work), signal)
    },
    start: ({ driver }, { work }) => driver.stop(instanceOf(work).id, 0),
  },
}
