import { fail } from '../../base/errors.ts'
import type { conductor } from '../../contracts/conductor.ts'
import { busUserOf, hostPermissions } from '../../model/bus-user.ts'
import type { Context } from '../../model/context.ts'
import { change } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { checkHost, lockHost, removeHost } from '../../store/hosts.ts'
import { isServiceUp } from '../../store/services.ts'
import type { ConductorDeps } from '../deps.ts'
import { alive } from './access.ts'

/** `reply_host.<host>.` and 32 digits are a queue's name, which has 255 bytes at most. */
const hostNameMax = 200

/** Gives a host a login of its own on the bus, or a new password if it has one. `ManagementFailed`. */
export async function hostAdd(
  deps: ConductorDeps,
  ctx: Context,
  { host }: Args<typeof conductor, 'hostAdd'>,
): Promise<Result<typeof conductor, 'hostAdd'>> {
  if (host.length > hostNameMax)
    fail('InvalidRequest', { what: `A host with a login of its own has a name of ${hostNameMax} characters at most.` })
  const user = busUserOf(host)
  const made = await deps.broker.userPut(ctx, { user, permissions: hostPermissions(host) })
  await change(deps, async (_db, emit) =>
    emit({
      at: deps.clock.now(),
      type: 'host.add',
      host,
      requestId: ctx.requestId,
      projectId: ctx.projectId,
      userId: ctx.userId,
      message: made.known ? `${user} has a new password` : `${user} may log in`,
    }),
  )
  return { host, user, ...made }
}

/** Refuses what is not to be done to a host while instances are on it: `HostInUse`. */
export function checkEmpty(host: string, { instances }: { instances: number }, what: string): void {
  if (instances === 0) return
  const why = `${instances} instance${instances > 1 ? 's are' : ' is'} on it`
  fail('HostInUse', { host, what, why, hint: `See them: nova list --host ${host}` })
}

/**
 * Takes a host's login away and forgets the host. `HostInUse` if it is up or has instances,
 * `HostNotFound` if there is neither host nor login.
 */
export async function hostDelete(
  deps: ConductorDeps,
  ctx: Context,
  { host }: Args<typeof conductor, 'hostDelete'>,
): Promise<Result<typeof conductor, 'hostDelete'>> {
  const user = busUserOf(host)
  const wasThere = await change(deps, async (db, emit) => {
    const row = await lockHost(db, host)
    if (!row) return false
    checkEmpty(host, row, 'deleted')
    if (await isServiceUp(db, 'compute', host, alive(deps)))
      fail('HostInUse', {
        host,
        what: 'deleted',
        why: 'it is up',
        hint: `Stop its daemon first. To lock it out now, give it a new password: nova host add ${host}`,
      })
    await removeHost(db, host)
    const { requestId, projectId, userId } = ctx
    emit({ at: deps.clock.now(), type: 'host.delete', host, requestId, projectId, userId })
    return true
  })
  const { known } = await deps.broker.userDelete(ctx, { user })
  if (!wasThere && !known) await checkHost(deps.db, host)
  return { host, ...(known ? { user } : {}) }
}
