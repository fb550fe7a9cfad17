import type { Channel, ConsumeMessage } from 'amqplib'
import { reason } from '../base/errors.ts'
import type { Holder } from './holder.ts'
import type { QueuePlan } from './topology.ts'

/** A consumer on a channel, until it is cancelled. */
export type Consumer = {
  /** From now on the queue may be deleted. */
  letGo(): void
  /** Declares and consumes the queue anew, whether the broker still knows this consumer or not. */
  renew(): Promise<void>
  cancel(): Promise<void>
}

/**
 * Declares a queue and consumes it. If the broker cancels the consumer (the queue was deleted, or expired), the queue
 * is declared again on the same channel; if that fails, the channel is closed, and its keeper opens a new one.
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
    holder.log.warn({ queue: plan.name }, 'consumer cancelled by the broker: declaring the queue again')
    try {
      await begin()
      holder.changed(true)
    } catch (e) {
      holder.log.warn({ queue: plan.name, why: reason(e) }, 'queue not declared')
      await channel.close().catch(() => undefined)
    }
  }

  await begin()
  return {
    letGo() {
      over = true
    },
    async renew() {
      if (over) return
      const old = tag
      await begin()
      // After the new one: a queue may go with its last consumer.
      await channel.cancel(old)
    },
    async cancel() {
      over = true
      await channel.cancel(tag).catch(() => undefined)
    },
  }
}
