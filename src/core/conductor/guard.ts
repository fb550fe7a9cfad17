import { Failure } from '../base/errors.ts'
import type { agent } from '../contracts/agent.ts'
import type { computeAgent } from '../contracts/compute-agent.ts'
import { hostOfBusUser } from '../model/bus-user.ts'
import { type Context, serviceContext } from '../model/context.ts'
import { change } from '../operations/change.ts'
import type { Api, Args, Contract } from '../rpc/contract.ts'
import { hasInstanceOf, instanceNotOf, type NotOwned, operationNotOf } from '../store/ownership.ts'
import type { ConductorDeps } from './deps.ts'

/** For whom a message speaks, and what of the cloud's it names. */
type Claims = {
  readonly host?: string
  readonly operations?: readonly string[]
  readonly instances?: readonly string[]
  readonly image?: string
}

const speaker = ({ host }: { host: string }): Claims => ({ host })
const ofOne = ({ host, operation }: { host: string; operation: string }): Claims => ({ host, operations: [operation] })

/** What each message of a contract names that must be the speaker's own. A method without a row does not compile. */
type ClaimsOf<C extends Contract> = { readonly [M in keyof C['methods']]: (args: Args<C, M>) => Claims }

/** For {@link guarded}: the messages of any service of a host. */
export const agentClaims: ClaimsOf<typeof agent> = {
  hello: speaker,
  heartbeat: ({ host, operations }) => ({ host, operations: operations.map(({ id }) => id) }),
  claim: ofOne,
  step: ofOne,
  finish: ofOne,
  bye: speaker,
}

/** For {@link guarded}: the messages of compute hosts. */
export const computeAgentClaims: ClaimsOf<typeof computeAgent> = {
  // Guests that are not its own are what it asks about.
  join: speaker,
  report: speaker,
  // Only what the host holds as residue is given back, whatever it names.
  removed: speaker,
  power: ({ host, changes }) => ({ host, instances: changes.map(({ id }) => id) }),
  imageRead: ({ image }) => ({ image }),
}

/**
 * What hosts may say, each for itself: one with a login of its own is refused with `Forbidden` if it speaks for another
 * host, or of an operation, an instance or an image that is not its own, and the refusal is told as an event. A message that
 * does not say who sent it is refused as well. The cloud's own login may speak for any host.
 */
export function guarded<C extends Contract>(deps: ConductorDeps, claims: ClaimsOf<C>, api: Api<C>): Api<C> {
  const record = recorder(deps)
  type Method = keyof C['methods'] & string
  const wrap =
    <M extends Method>(method: M) =>
    async (ctx: Context, args: Args<C, M>): Promise<unknown> => {
      const wrong = await wrongWith(deps, ctx.busUser, claims[method](args))
      if (wrong) {
        await record(ctx, `may not ${method}`, { about: wrong.what, text: reported(wrong), ...pickInstance(wrong) })
        throw new Failure('Forbidden', {
          what: `${ctx.busUser ?? 'A sender without a name'} may not ${method}: ${reported(wrong)}.`,
        })
      }
      return (api[method] as (ctx: Context, args: Args<C, M>) => Promise<unknown>)(ctx, args)
    }
  const methods = Object.keys(claims) as Method[]
  return Object.fromEntries(methods.map((method) => [method, wrap(method)])) as unknown as Api<C>
}

const reported = ({ what, of }: NotOwned): string => `${what} belongs to ${of}`

/** What a message names that is not its sender's; undefined if all is in order. One small query, none for the cloud's own login. */
async function wrongWith(
  { db }: Pick<ConductorDeps, 'db'>,
  busUser: string | undefined,
  { host, operations = [], instances = [], image }: Claims,
): Promise<NotOwned | undefined> {
  if (busUser === undefined)
    return { what: host === undefined ? 'a question of a host' : `host ${host}`, of: 'a named login' }
  const self = hostOfBusUser(busUser)
  if (self === undefined) return undefined
  if (host !== undefined && host !== self) return { what: `host ${host}`, of: 'its own login' }
  if (operations.length > 0) return operationNotOf(db, self, operations)
  if (instances.length > 0) return instanceNotOf(db, self, instances)
  if (image !== undefined && !(await hasInstanceOf(db, self, image)))
    return { what: `image ${image}`, of: 'other hosts' }
  return undefined
}

const quietMs = 60_000
/** The most refusals of one login that are kept as events within {@link quietMs}: a thief must not push out the history. */
const most = 20

/** What was refused: `about` tells it from others, `text` says it in words. */
type Refusal = { readonly about: string; readonly text: string; readonly instanceId?: string }

const pickInstance = ({ instanceId }: NotOwned) => (instanceId === undefined ? {} : { instanceId })

/** Tells of messages of hosts that are dropped unread. */
export function unreadRecorder(deps: ConductorDeps): (busUser: string | undefined, why: string) => void {
  const record = recorder(deps)
  return (busUser, why) => {
    const ctx = { ...serviceContext('audit', deps.ids.requestId()), ...(busUser === undefined ? {} : { busUser }) }
    record(ctx, 'sent a message that was dropped', { about: '', text: why }).catch((e: unknown) =>
      deps.log.warn({ err: e, busUser }, 'a refusal is not recorded'),
    )
  }
}

/** Tells of refusals: each in the log, and as an event once in a while. */
function recorder(deps: ConductorDeps): (ctx: Context, what: string, refusal: Refusal) => Promise<void> {
  let began = 0
  let recent = new Map<string, Set<string>>()

  const isNews = (user: string, about: string, now: number): boolean => {
    if (now - began >= quietMs) {
      began = now
      recent = new Map()
    }
    const known = recent.get(user) ?? new Set()
    recent.set(user, known)
    if (known.has(about) || known.size >= most) return false
    known.add(about)
    return true
  }

  return async ({ busUser, requestId }, what, { about, text, instanceId }) => {
    const user = busUser ?? '-'
    const now = deps.clock.now()
    deps.log.warn({ busUser: user, requestId, what, why: text }, 'a message of a host was refused')
    if (!isNews(user, `${what} ${about}`, now)) return
    const host = busUser === undefined ? undefined : hostOfBusUser(busUser)
    await change(deps, async (_db, emit) =>
      emit({
        at: now,
        type: 'audit.refused',
        ...(host === undefined ? {} : { host }),
        ...(instanceId === undefined ? {} : { instanceId }),
        requestId,
        projectId: 'service',
        message: `${user} ${what}: ${text}`,
      }),
    )
  }
}
