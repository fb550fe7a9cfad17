import type { QueueDeclaration } from './queue.ts'

/**
 * Bounds for all queues of a name, whoever declares them and with whatever arguments.
 * @see https://www.rabbitmq.com/docs/parameters#policies
 */
export type Policy = {
  readonly name: string
  /** Regular expression over the queue's name. */
  readonly pattern: string
  /** Beyond it the oldest messages go, unless the queue was declared to refuse new ones instead. */
  readonly maxLength?: number
  readonly messageTtlMs?: number
}

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)

/** A queue's declaration under the first policy that is for it: of each two bounds the tighter one holds, as in RabbitMQ. */
export function underPolicy(declared: QueueDeclaration, policies: readonly Policy[]): QueueDeclaration {
  const policy = policies.find(({ pattern }) => new RegExp(pattern).test(declared.name))
  if (policy === undefined) return declared
  const { args } = declared
  return {
    ...declared,
    policy: policy.name,
    args: {
      ...args,
      maxLength: least(args.maxLength, policy.maxLength),
      messageTtlMs: least(args.messageTtlMs, policy.messageTtlMs),
    },
  }
}
