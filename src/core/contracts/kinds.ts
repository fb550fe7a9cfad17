import * as z from 'zod'
import type { kindOf, OperationKind } from '../model/operation.ts'
import { operationKinds } from '../model/operation.ts'
import { since } from '../rpc/contract.ts'
import { HostName, Ref } from './shapes.ts'

/**
 * What a caller may say to each kind of operation that `begin` begins. A kind that is not here has a message of its own
 * (boot), or is begun by the conductor itself. {@link kindOf} has the rest of what there is to know of a kind.
 */
export const kindArgs = {
  pause: z.object({}),
  unpause: z.object({}),
  suspend: z.object({}),
  resume: z.object({}),
  stop: z.object({}),
  start: z.object({}),
  reboot: z.object({}),
  'reboot-hard': z.object({}),
  /** Without a host the scheduler chooses one; to name it is for administrators. */
  migrate: z.object({ host: HostName.optional() }),
  delete: z.object({}),
} as const satisfies Partial<Record<OperationKind, z.ZodType>>

/** The kinds that `begin` begins. */
export type Beginnable = keyof typeof kindArgs
export const beginnable = Object.keys(kindArgs) as Beginnable[]

/** What a caller says to one kind. */
export type KindArgs<K extends Beginnable> = z.infer<(typeof kindArgs)[K]>

/** The same key twice within a day is the same request: the first answer is given again. */
export const IdempotencyKey = z.string().max(255)

const beginOf = <K extends Beginnable>(kind: K) =>
  z
    .object({
      kind: z.literal(kind),
      instance: Ref,
      args: z.optional<(typeof kindArgs)[K]>(kindArgs[kind]),
      idempotencyKey: IdempotencyKey.optional(),
    })
    .meta({ since: operationKinds[kind].since })

type BeginOf = { [K in Beginnable]: ReturnType<typeof beginOf<K>> }[Beginnable]

/** What `begin` takes: a kind, an instance, and what that kind wants to know. */
export const Begin = z.discriminatedUnion('kind', beginnable.map((kind) => beginOf(kind)) as [BeginOf, ...BeginOf[]])
export type Begin = z.infer<typeof Begin>

/**
 * What the executors of a kind are told: names resolved, kept in the operation's row, repeated as it is by a retry. A kind
 * whose arguments name nothing that needs to be resolved is told what the caller said.
 */
export const resolvedArgs = {
  ...kindArgs,
  boot: z.object({ image: z.string(), flavor: z.string() }),
  'delete-image': z.object({ checksums: z.array(z.string()) }),
} as const satisfies Record<OperationKind, z.ZodType>

export type ResolvedArgs<K extends OperationKind = OperationKind> = z.infer<(typeof resolvedArgs)[K]>

/** How a source reaches the target of a migration; the secret is for this one transfer. */
export const Ticket = z.object({
  address: z.string().max(255),
  port: z.int().min(1).max(65_535),
  secret: z.string().max(128),
})
export type Ticket = z.infer<typeof Ticket>

/** What a step leaves for later legs, by the step's name; kept until the operation ends, and never shown. */
export const Results = z.object({
  receive: Ticket.optional(),
  /** The guest is whole at the target: nothing is to be sent any more. */
  received: since('2.1', z.boolean()),
})
export type Results = z.infer<typeof Results>
