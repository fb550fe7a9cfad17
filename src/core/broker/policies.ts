import type { QueueDeclaration } from './queue.ts'

/**
 * Limits for all queues whose names match, whoever declares them and with whatever arguments.
 * @see https://www.rabbitmq.com/docs/parameters#policies
 */
export type Policy = {
  readonly name: string
  /** Regular expression for the queue's name. */
  readonly pattern: string
  /** Beyond this the oldest messages are dropped, unless the queue was declared to refuse new ones instead. */
  readonly maxLength?: number
  readonly maxLengthBytes?: number
  readonly messageTtlMs?: number
  /** A queue that nobody uses for so long is deleted. */
  readonly expiresMs?: number
}

const least = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? (a ?? b) : Math.min(a, b)

/**
 * A queue's declaration under the first policy that matches it: of two limits the tighter one applies, as in RabbitMQ.
 */
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
      maxLengthBytes: least(args.maxLengthBytes, policy.maxLengthBytes),
      expiresMs: least(args.expiresMs, policy.expiresMs),
      messageTtlMs: least(args.messageTtlMs, policy.messageTtlMs),
    },
  }
}
