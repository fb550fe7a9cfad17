import type { z } from 'zod'
import type { Context } from '../model/context.ts'

/** A question with an answer. `since`: the version of the contract that it came with; the first of the major where nothing is said. */
export type Call<A, R> = { kind: 'call'; args: z.ZodType<A>; result: z.ZodType<R>; since?: string }
/** A message without an answer. */
export type Cast<A> = { kind: 'cast'; args: z.ZodType<A>; since?: string }
/** The methods of a contract, by name. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where a method of any shape is meant.
export type Methods = Record<string, Call<any, any> | Cast<any>>

/**
 * Everything that one may ask of a service: the topic it listens on, the version of the messages (`major.minor`, as
 * oslo.messaging compares them; raised with every method or field that is added) and the methods. `namespace` sets apart what hosts may say from what faces may ask.
 */
export type Contract<M extends Methods = Methods> = {
  readonly topic: string
  readonly namespace: string | undefined
  readonly version: string
  readonly methods: M
}

/** Declares a question: what it takes, what its answer is, and the version that it came with where that was not the first. */
export const call = <A, R>(args: z.ZodType<A>, result: z.ZodType<R>, since?: string): Call<A, R> => ({
  kind: 'call',
  args,
  result,
  ...(since === undefined ? {} : { since }),
})
/** Declares a message without an answer. */
export const cast = <A>(args: z.ZodType<A>, since?: string): Cast<A> => ({
  kind: 'cast',
  args,
  ...(since === undefined ? {} : { since }),
})
/** Declares an argument that came with a later version than its method: it is never required, and left out for who does not know it. */
export const since = <T extends z.ZodType>(version: string, field: T): z.ZodOptional<T> =>
  field.optional().meta({ since: version })
/** Declares all that may be asked of a service; see {@link Contract}. */
export const contract = <M extends Methods>(
  topic: string,
  version: string,
  methods: M,
  namespace?: string,
): Contract<M> => ({
  topic,
  namespace,
  version,
  methods,
})

/** How long a caller waits for the answer; 60 s where nothing is said, as oslo.messaging. */
export type CallOptions = { timeoutMs?: number }

type Fn<D> =
  D extends Call<infer A, infer R>
    ? (ctx: Context, args: A, options?: CallOptions) => Promise<R>
    : D extends Cast<infer A>
      ? (ctx: Context, args: A) => Promise<void>
      : never

/** What a caller sees and, the same type, what a server must supply. */
export type Api<C extends Contract> = { [K in keyof C['methods']]: Fn<C['methods'][K]> }
/** What a method takes. */
export type Args<C extends Contract, K extends keyof C['methods']> = Parameters<Api<C>[K]>[1]
/** What a method answers with. */
export type Result<C extends Contract, K extends keyof C['methods']> = Awaited<ReturnType<Api<C>[K]>>
