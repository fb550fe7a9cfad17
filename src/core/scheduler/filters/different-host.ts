import type { Filter } from '../filter.ts'
import { hinted } from '../hints.ts'

/** Hint `different_host`: lets through the hosts that hold none of the instances named. */
export const differentHost: Filter = (host, { spec, hostOf }) => {
  const here = hinted(spec, 'different_host').filter((id) => hostOf.get(id) === host.name)
  if (here.length === 0) return undefined
  return {
    reason: `not a different host: ${here.join(', ')} ${here.length === 1 ? 'is' : 'are'} here`,
    group: 'with an instance of hint different_host',
  }
}
