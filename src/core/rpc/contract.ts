import type { z } from 'zod'
import type { Context } from '../model/context.ts'

/** A question with an answer. */
export type Call<A, R> = { kind: 'call'; args: z.ZodType<A>; result: z.ZodType<R> }
/** A message without an answer. */
export type Cast<A> = { kind: 'cast'; args: z.ZodType<A> }
/** The methods of a contract, by name. */
// biome-ignore lint/suspicious/noExplicitAny: the one place where a method of any shape is meant.
export type Methods = Record<string, Call<any, any> | Cast<any>>

/**
 * Everything that one may ask of a service: the topic it listens on, the version of the messages (`major.minor`, as
 * oslo.messaging compares them) and the methods. `namespace` sets apart what hosts may say from what faces may ask.
 */
export type Contract<M extends Methods = Methods> = {
  readonly topic: string
  readonly namespace: string | undefined
  readonly version: string
  readonly methods: M
}

/** Declares a question: what it takes, and what its answer is. */
export const call = <A, R>(args: z.ZodType<A>, result: z.ZodType<R>): Call<A, R> => ({ kind: 'call', args, result })
/** Declares a message without an answer. */
export const cast = <A>(args: z.ZodType<A>): Cast<A> => ({ kind: 'cast', args })
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
