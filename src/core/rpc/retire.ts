import type { Channel } from 'amqplib'
import type { Link } from './link.ts'
import { codeOf, replyCodes } from './reply-codes.ts'
import type { BoundQueue } from './topology.ts'

/** How often a queue that is not empty yet is checked. */
const lookMs = 20

/**
 * Deletes a queue of ours while we still consume it: it is unbound, so that new messages go back to their senders; the
 * messages in it are worked off; then it is deleted. An auto-delete queue that just loses its last consumer takes its
 * messages with it, and their callers wait in vain. A queue with other consumers is left alone. Gives up after the
 * link's grace period.
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
    // A process that has begun to consume it is told by the broker, and declares it again.
    await channel.deleteQueue(name, { ifEmpty: true })
    unbound = false
  }

  while (!expired() && link.model !== undefined) {
    try {
      // A refusal closes the channel, so this has one of its own.
      const channel = await link.model.createChannel()
      channel.on('error', () => undefined)
      await retire(channel)
      if (unbound) for (const exchange of exchanges) await channel.bindQueue(name, exchange, name)
      return await channel.close()
    } catch (e) {
      if (codeOf(e) === replyCodes.missing) return
      // A message came between the check and the deletion, or the connection is lost; the next check tells.
    }
    await link.clock.sleep(lookMs, link.stopped)
  }
}
