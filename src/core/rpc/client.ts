import type { Context } from '../model/context.ts'
import type { Calls } from './calls.ts'
import type { Casts } from './casts.ts'
import { check } from './check.ts'
import type { Api, CallOptions, Contract, Methods } from './contract.ts'
import { type Heading, headingOf } from './heading.ts'
import type { Cap } from './versions.ts'

/** What the functions of a contract use to send. */
export type ClientDeps = {
  readonly calls: Calls
  readonly casts: Casts
  readonly writeContext: (context: Context) => string
  readonly callTimeoutMs: number
}

/** The parts of a method that are the same for every message. */
type Prepared = {
  readonly name: string
  readonly definition: Methods[string]
  readonly heading: Heading
  readonly accept: ((topic: string) => (result: unknown) => unknown) | undefined
}

const known = new WeakMap<Contract, readonly Prepared[]>()

function prepare(contract: Contract): readonly Prepared[] {
  const before = known.get(contract)
  if (before !== undefined) return before
  const prepared = Object.entries(contract.methods).map(([name, definition]) => ({
    name,
    definition,
    heading: headingOf(contract, name, definition),
    accept: definition.kind === 'call' ? answerReader(name, definition.result) : undefined,
  }))
  known.set(contract, prepared)
  return prepared
}

function answerReader(
  name: string,
  schema: Parameters<typeof check>[0],
): (topic: string) => (result: unknown) => unknown {
  // JSON has no undefined: if the contract has one, the answer is a null that the contract does not know.
  const nothing = schema.safeParse(null).success ? null : undefined
  return (topic) => (result) =>
    check(
      schema,
      result === null ? nothing : result,
      `the answer of ${topic} to "${name}"`,
      'Do both sides have the same version? nova status',
    )
}

/** The functions of a contract, sending to a routing key; whatever is newer than `cap` is not sent. */
export function makeClient<C extends Contract>(deps: ClientDeps, contract: C, target: string, cap?: Cap): Api<C> {
  const api: Record<string, (context: Context, args: unknown, options?: CallOptions) => Promise<unknown>> = {}
  for (const { name, definition, heading, accept } of prepare(contract)) {
    const { plain, adapt } = heading
    const write = (context: Context, args: unknown): string => {
      const checked = check(definition.args, args, name)
      if (adapt === undefined) return `${plain}${JSON.stringify(checked)}${deps.writeContext(context)}`
      const fitted = adapt(checked, cap?.())
      return `${fitted.head}${JSON.stringify(fitted.args)}${deps.writeContext(context)}`
    }
    if (accept === undefined) {
      api[name] = async (context, args) => deps.casts.send(target, name, write(context, args))
      continue
    }
    const acceptHere = accept(contract.topic)
    api[name] = async (context, args, options) =>
      deps.calls.ask(write(context, args), {
        target,
        method: name,
        requestId: context.requestId,
        timeoutMs: options?.timeoutMs ?? deps.callTimeoutMs,
        accept: acceptHere,
      })
  }
  return api as Api<C>
}
