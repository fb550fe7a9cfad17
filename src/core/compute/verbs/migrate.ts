import { randomBytes } from 'node:crypto'
import { abortable } from '../../base/concurrency.ts'
import type { Work } from '../../contracts/agent.ts'
import type { Ticket } from '../../contracts/kinds.ts'
import type { DiskWriter } from '../../virt/driver.ts'
import type { Expectation } from '../transfer.ts'
import { imageFiles } from './boot.ts'
import { type ComputeVerb, type Context, guestOf, instanceOf, type Tools } from './tools.ts'

/** Whether the guest ran when the migration began: it runs again at the end, or if the migration is undone. */
const ranBefore = (work: Work): boolean => instanceOf(work).before === 'ACTIVE'

/** Fetches the image. What is here of the guest is from before, and must not be taken for what is to come. */
async function prepare(tools: Tools, { work, signal }: Context<'migrate'>): Promise<void> {
  await tools.driver.destroy(instanceOf(work).id)
  await imageFiles(tools, work, signal)
}

/** How long a source waits for another ticket before it tries the same once more, in ms. */
const againMs = 2_000
/** How often what comes may be refused for a reason of the target's own before the migration is given up. */
const refusalsMax = 3

/**
 * Listens at the target for the guest's disk; its result gives the source the address. That the guest has come is a result,
 * too: a source that did not hear so from this host may find nobody here who would say it again.
 */
async function receive({ driver, images, transfers }: Tools, context: Context<'migrate'>): Promise<void> {
  const { work, signal } = context
  const { id: operation } = work.operation
  const secret = randomBytes(32).toString('base64url')
  const share = ({ address, port }: Expectation) => context.share({ receive: { address, port, secret } })
  // An earlier life of the daemon has received it; the source may not have heard that.
  if ((await driver.power(instanceOf(work).id)) !== 'NOSTATE') return context.share({ received: true })
  const { writer, broken } = watched(await driver.importDisk(guestOf(work), await imageFiles({ images }, work, signal)))
  const incoming = await transfers
    .expect({ operation, secret }, writer, (progress) => context.progress({ what: 'disk', ...progress }))
    .catch(async (e) => {
      await writer.abort()
      throw e
    })
  try {
    await share(incoming)
    await abortable(Promise.race([incoming.done, broken]), signal)
    await context.share({ received: true })
  } catch (e) {
    await incoming.cancel()
    throw e
  }
}

/** A writer, and a promise that rejects when it has failed too often: the source alone would come again and again. */
function watched(writer: DiskWriter): { writer: DiskWriter; broken: Promise<never> } {
  let refusals = 0
  let giveUp: (e: unknown) => void = () => undefined
  const broken = new Promise<never>((_, reject) => {
    giveUp = reject
  })
  // Whoever no longer waits for it need not hear of it.
  broken.catch(() => undefined)
  const counted = async (work: Promise<void>): Promise<void> => {
    try {
      await work
    } catch (e) {
      if (++refusals >= refusalsMax) giveUp(e)
      throw e
    }
  }
  return {
    broken,
    writer: {
      write: (offset, data) => counted(writer.write(offset, data)),
      restart: () => counted(writer.restart()),
      complete: (sizeBytes) => counted(writer.complete(sizeBytes)),
      abort: () => writer.abort(),
    },
  }
}

/**
 * Sends the guest's disk to where the target waits, again if the connection breaks. A target that starts again waits with
 * another ticket: the sending begins again with that one.
 */
async function send({ driver, transfers, log }: Tools, context: Context<'migrate'>): Promise<void> {
  const { work, signal } = context
  const { id: operation } = work.operation
  for (let used: Ticket | undefined; ; ) {
    const ticket: Ticket = await context.result('receive', used, used && againMs)
    if (context.work.operation.results.received) return
    used = ticket
    const reader = await driver.exportDisk(instanceOf(work).id)
    try {
      await transfers.send(
        { ...ticket, operation },
        reader,
        (progress) => context.progress({ what: 'disk', ...progress }),
        signal,
      )
      return
    } catch (e) {
      signal.throwIfAborted()
      log.warn({ operation, err: e }, 'the disk could not be sent; it is sent again')
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
    prepare,
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
