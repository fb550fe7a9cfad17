import { allow, permits, ruleOfMessage } from '../auth/policy.ts'
import type { conductor } from '../contracts/conductor.ts'
import type { Context } from '../model/context.ts'
import type { Api, Args, CallOptions } from '../rpc/contract.ts'
import { answerWithoutHosts, failureWithoutHosts } from './without-hosts.ts'

type Conductor = typeof conductor
type Method = keyof Conductor['methods']

/**
 * What front ends may ask, each caller what its role allows: every message is checked by the rule of its method before
 * anything is read (`Forbidden`). What is done to whose is checked where names are resolved. Callers who may not see hosts
 * get answers and failures that name none.
 */
export function permitted(api: Api<Conductor>): Api<Conductor> {
  const wrap =
    <M extends Method>(method: M) =>
    async (ctx: Context, args: Args<Conductor, M>, options?: CallOptions): Promise<unknown> => {
      allow(ctx, ruleOfMessage(method, args))
      const ask = api[method] as (ctx: Context, args: unknown, options?: CallOptions) => Promise<never>
      if (permits(ctx, 'os_compute_api:os-extended-server-attributes')) return ask(ctx, args, options)
      try {
        return answerWithoutHosts(method, await ask(ctx, args, options))
      } catch (e) {
        throw failureWithoutHosts(e)
      }
    }
  const methods = Object.keys(api) as Method[]
  return Object.fromEntries(methods.map((method) => [method, wrap(method)])) as unknown as Api<Conductor>
}
