import type { QueueDepth } from './bus.ts'
import type { Link } from './link.ts'
import { codeOf, replyCodes } from './reply-codes.ts'

/** The number of messages and consumers of queues; a queue that does not exist has none of either. `BusDown`. */
export async function queueDepths(link: Link, names: readonly string[]): Promise<QueueDepth[]> {
  const depths: QueueDepth[] = []
  for (let at = 0; at < names.length; ) {
    const { model } = link
    if (model === undefined) throw link.down()
    // A passive declaration of a missing queue costs the channel.
    const channel = await model.createChannel().catch(() => Promise.reject(link.down()))
    channel.on('error', () => undefined)
    try {
      for (; at < names.length; at++) {
        const name = names[at]!
        const { messageCount, consumerCount } = await channel.checkQueue(name)
        depths.push({ name, messages: messageCount, consumers: consumerCount })
      }
      await channel.close()
    } catch (e) {
      const name = names[at]
      if (name !== undefined) depths.push(codeOf(e) === replyCodes.locked ? taken(name) : nobodys(name))
      at++
    }
  }
  return depths
}

const nobodys = (name: string): QueueDepth => ({ name, messages: 0, consumers: 0 })
/** An exclusive queue of another connection: its owner consumes it. */
const taken = (name: string): QueueDepth => ({ name, messages: undefined, consumers: 1 })
