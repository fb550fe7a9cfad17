import { assert, fail } from '../base/errors.ts'
import type { Context } from '../model/context.ts'
import type { Served } from './bus.ts'
import { check } from './check.ts'
import type { Methods } from './contract.ts'
import type { Request } from './request.ts'
import { pingMethod } from './self-ping.ts'
import { understands } from './versions.ts'

type Handler = {
  readonly definition: Methods[string]
  readonly run: (context: Context, args: unknown) => Promise<unknown>
}
type Endpoint = {
  readonly namespace: string | undefined
  readonly version: string
  readonly handlers: ReadonlyMap<string, Handler>
}

/** Carries out a request: `UnknownMethod`, `UnsupportedVersion`, `InvalidRequest`, or the failure of the method. */
export type Dispatch = (request: Request) => Promise<unknown>

/** The contracts of one topic as one table, like the endpoints of oslo.messaging's dispatcher. */
export function makeDispatch(services: readonly Served[]): { topic: string; dispatch: Dispatch } {
  const topic = services[0]?.contract.topic
  assert(topic !== undefined, 'a server serves at least one contract')
  for (const { contract } of services)
    assert(contract.topic === topic, `${contract.topic} and ${topic} are different topics`)
  const endpoints = services.map(endpoint)

  const dispatch: Dispatch = async ({ method, namespace, version, args, context }) => {
    if (method === pingMethod) return 'pong'
    const fit = endpoints.filter((e) => e.namespace === namespace)
    const full = namespace === undefined ? method : `${namespace}.${method}`
    if (fit.length === 0) fail('UnknownMethod', { topic, method: full })
    const speaking = fit.filter((e) => understands(e.version, version))
    if (speaking.length === 0) {
      fail('UnsupportedVersion', { topic, version, supported: fit.map((e) => e.version).join(', ') })
    }
    const handler = speaking.map((e) => e.handlers.get(method)).find((h) => h !== undefined)
    if (handler === undefined) fail('UnknownMethod', { topic, method: full })
    return handler.run(context, check(handler.definition.args, args, method))
  }
  return { topic, dispatch }
}

function endpoint({ contract, api }: Served): Endpoint {
  const handlers = new Map<string, Handler>()
  for (const [name, definition] of Object.entries(contract.methods)) {
    const run = (api as Record<string, unknown>)[name]
    assert(typeof run === 'function', `${contract.topic}.${name} has no implementation`)
    handlers.set(name, { definition, run: async (context, args) => run.call(api, context, args) })
  }
  return { namespace: contract.namespace, version: contract.version, handlers }
}
