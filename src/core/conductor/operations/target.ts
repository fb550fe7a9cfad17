import { fail } from '../../base/errors.ts'
import type { Instance } from '../../contracts/shapes.ts'
import type { Db } from '../../db/handle.ts'
import { healthOf } from '../../model/health.ts'
import { type OperationKind, placedBy, placeFilled } from '../../model/operation.ts'
import { checkHost } from '../../store/hosts.ts'
import type { Placing } from '../../store/operation-record.ts'
import { findService, isOtherHostUp, serviceId } from '../../store/services.ts'
import { alive } from '../actions/access.ts'
import type { ConductorDeps } from '../deps.ts'

const seeHosts = 'See the hosts: nova host list'

/**
 * Fails if no scheduler could find a host for an instance that is to move: `NoValidHost`; or, for the host that was named,
 * `HostNotFound`, and `InvalidRequest` if the instance is there. Only schedulers know whether there is room.
 */
export async function checkTarget(
  deps: Pick<ConductorDeps, 'clock' | 'options'>,
  db: Db,
  { name, host: source }: Instance,
  kind: OperationKind,
  placing: Placing | undefined,
): Promise<void> {
  if (placedBy(kind) === undefined || placeFilled(kind) !== 'target') return
  const host = placing?.forced
  if (host !== undefined) return checkNamed(deps, db, name, source, host)
  if (!(await isOtherHostUp(db, source, alive(deps))))
    fail('NoValidHost', { reason: `besides ${source}, no host is up and enabled.`, hint: seeHosts })
}

async function checkNamed(
  deps: Pick<ConductorDeps, 'clock' | 'options'>,
  db: Db,
  name: string,
  source: string | undefined,
  host: string,
): Promise<void> {
  const refuse = (reason: string, hint: string) => fail('NoValidHost', { reason, hint })
  if (host === source)
    fail('InvalidRequest', { what: `${name} is on ${host} already.`, hint: 'Name another host, or none.' })
  const service = await findService(db, serviceId('compute', host), alive(deps))
  if (!service) await checkHost(db, host)
  if (service?.status === 'disabled') {
    const why = service.disabledReason === undefined ? '' : `: ${service.disabledReason}`
    refuse(`${host} is disabled${why}.`, `Enable it: nova service enable ${host}. Or name another host, or none.`)
  }
  const health = service ? healthOf(service) : 'down'
  if (health !== 'up') refuse(`${host} is ${health}.`, seeHosts)
}
