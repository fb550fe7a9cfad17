import type { Filter } from '../filter.ts'
import { hinted } from '../hints.ts'

/** Hint `same_host`: lets through the hosts that hold at least one of the instances named, as Nova's SameHostFilter. */
export const sameHost: Filter = (host, { spec, hostOf }) => {
  const ids = hinted(spec, 'same_host')
  if (ids.length === 0 || ids.some((id) => hostOf.get(id) === host.name)) return undefined
  const where = ids.map((id) => `${id} is on ${hostOf.get(id) ?? 'no host'}`).join(', ')
  return { reason: `not the same host: ${where}`, group: 'without the instance of hint same_host' }
}
