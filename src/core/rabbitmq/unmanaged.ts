import { fail } from '../base/errors.ts'
import type { broker } from '../contracts/broker.ts'
import type { QueueDepth } from '../rpc/bus.ts'
import type { Api } from '../rpc/contract.ts'

const option = 'Set bus.management_url to http://user:password@host:15672 (docs/rabbitmq.md)'

const unknown = (): never =>
  fail('ManagementFailed', { url: 'RabbitMQ', why: 'bus.management_url is not set', hint: option })

type Deps = {
  readonly depths: (names: readonly string[]) => Promise<QueueDepth[]>
  /** The queues that the cloud's services consume. */
  readonly names: () => Promise<string[]>
}

/** A RabbitMQ without a configured management API: what AMQP itself reports of the known queues, and no more. */
export function unmanagedBroker({ depths, names }: Deps): Api<typeof broker> {
  return {
    async queueList() {
      const queues = await depths(await names())
      return {
        broker: {
          product: 'RabbitMQ',
          partial: `Only the services' queues, without rates, and without the number of messages in queues of single daemons: RabbitMQ's management API is not configured. ${option}`,
        },
        queues: queues.map(({ name, messages = 0, consumers }) => ({ name, messages, ready: messages, consumers })),
      }
    },
    async queuePurge() {
      return unknown()
    },
    async userPut() {
      return unknown()
    },
    // No login was created for this cloud in this way.
    userDelete: async () => ({ known: false }),
  }
}
