import type { Channel, ConsumeMessage } from 'amqplib'
import { reason } from '../base/errors.ts'
import type { Holder } from './holder.ts'
import type { QueuePlan } from './topology.ts'

/** A consumer on a channel, until it is cancelled. */
export type Consumer = {
  /** From now on the queue may be taken away. */
  letGo(): void
  cancel(): Promise<void>
}

/**
 * Declares a queue and consumes it. When the broker takes the queue away (it was deleted, or expired), it is declared anew on
 * the same channel; where that fails the channel is closed, and its keeper begins again.
 */
export async function consumeQueue(
  holder: Holder,
  channel: Channel,
  plan: QueuePlan,
  take: (message: ConsumeMessage) => void,
): Promise<Consumer> {
  let tag = ''
  let over = false

  const begin = async (): Promise<void> => {
    await plan.declare(channel)
    const consumer = await channel.consume(plan.name, (message) => (message === null ? void again() : take(message)))
    tag = consumer.consumerTag
  }

  const again = async (): Promise<void> => {
    if (over) return
    holder.log.warn({ queue: plan.name }, 'the queue was taken away: declaring it anew')
    try {
      await begin()
      holder.changed(true)
    } catch (e) {
      holder.log.warn({ queue: plan.name, why: reason(e) }, 'the queue cannot be declared')
      await channel.close().catch(() => undefined)
    }
  }

  await begin()
  return {
    letGo() {
      over = true
    },
    async cancel() {
      over = true
      await channel.cancel(tag).catch(() => undefined)
    },
  }
}
