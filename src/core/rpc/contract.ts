import type { z } from 'zod'
import type { Context } from '../model/context.ts'

/**
 * A request with an answer. `since`: the version of the contract that added it; the first of the major if unset. `reads`: it
 * changes nothing, so that it may be repeated.
 */
export type Call<A, R> = { kind: 'call'; args: z.ZodType<A>; result: z.ZodType<R>; since?: string; reads?: true }
/** A message without an answer. */
export type Cast<A> = { kind: 'cast'; args: z.ZodType<A>; since?: string }
/** The methods of a contract, by name. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where a method of any shape is meant.
export type Methods = Record<string, Call<any, any> | Cast<any>>

/**
 * Everything that can be asked of a service: the topic it consumes, the version of the messages (`major.minor`, as
 * oslo.messaging compares them; raised with every method or field that is added) and the methods. `namespace` separates
 * what hosts may ask from what front ends may ask.
 */
export type Contract<M extends Methods = Methods> = {
  readonly topic: string
  readonly namespace: string | undefined
  readonly version: string
  readonly methods: M
}

/** Declares a request: its arguments, its answer, and the version that added it if that is not the first. */
export const call = <A, R>(args: z.ZodType<A>, result: z.ZodType<R>, since?: string): Call<A, R> => ({
  kind: 'call',
  args,
  result,
  ...(since === undefined ? {} : { since }),
})
/** Declares a request that changes nothing; see {@link call}. */
export const read = <A, R>(args: z.ZodType<A>, result: z.ZodType<R>, since?: string): Call<A, R> => ({
  ...call(args, result, since),
  reads: true,
})
/** Declares a message without an answer. */
export const cast = <A>(args: z.ZodType<A>, since?: string): Cast<A> => ({
  kind: 'cast',
  args,
  ...(since === undefined ? {} : { since }),
})
/** Declares an argument that is newer than its method: it is optional, and left out for servers that do not know it. */
export const since = <T extends z.ZodType>(version: string, field: T): z.ZodOptional<T> =>
  field.optional().meta({ since: version })
/** Declares everything that can be asked of a service; see {@link Contract}. */
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

/** How long a caller waits for the answer; 60 s if unset, as in oslo.messaging. */
export type CallOptions = { timeoutMs?: number }

type Fn<D> =
  D extends Call<infer A, infer R>
    ? (ctx: Context, args: A, options?: CallOptions) => Promise<R>
    : D extends Cast<infer A>
      ? (ctx: Context, args: A) => Promise<void>
      : never

/** The interface that a caller sees and that a server must implement: one type for both. */
export type Api<C extends Contract> = { [K in keyof C['methods']]: Fn<C['methods'][K]> }
/** What a method takes. */
export type Args<C extends Contract, K extends keyof C['methods']> = Parameters<Api<C>[K]>[1]
/** What a method answers with. */
export type Result<C extends Contract, K extends keyof C['methods']> = Awaited<ReturnType<Api<C>[K]>>
