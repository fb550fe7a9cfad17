import type { Channel } from 'amqplib'
import type { Link } from './link.ts'
import { codeOf, replyCodes } from './reply-codes.ts'
import type { BoundQueue } from './topology.ts'

/** How often a queue is looked at that is not empty yet. */
const lookMs = 20

/**
 * Takes a queue of ours away while we still consume it: no more is routed to it, so that what is sent now goes back to its
 * sender; what was routed before is worked off; then it is deleted. An auto-delete queue that just loses its last consumer
 * takes with it what waits there and what is on its way, and its callers wait in vain. A queue that others consume as well is
 * left alone. Gives up after the link's grace.
 */
export async function retireQueue(link: Link, { name, exchanges }: BoundQueue): Promise<void> {
  const until = link.clock.now() + link.graceMs
  const expired = () => link.clock.now() >= until || link.stopped.aborted
  let unbound = false

  const retire = async (channel: Channel): Promise<void> => {
    if ((await channel.checkQueue(name)).consumerCount !== 1) return
    unbound = true
    for (const exchange of exchanges) await channel.unbindQueue(name, exchange, name)
    while ((await channel.checkQueue(name)).messageCount > 0) {
      if (expired()) return
      await link.clock.sleep(lookMs, link.stopped)
    }
    // Whoever has begun to consume it meanwhile is told by the broker, and declares it anew.
    await channel.deleteQueue(name, { ifEmpty: true })
    unbound = false
  }

  while (!expired() && link.model !== undefined) {
    try {
      // A refusal closes the channel, so it is one for this alone.
      const channel = await link.model.createChannel()
      channel.on('error', () => undefined)
      await retire(channel)
      if (unbound) for (const exchange of exchanges) await channel.bindQueue(name, exchange, name)
      return await channel.close()
    } catch (e) {
      if (codeOf(e) === replyCodes.missing) return
      // Something came between the look and the deletion, or the link is gone; the next look tells.
    }
    await link.clock.sleep(lookMs, link.stopped)
  }
}
