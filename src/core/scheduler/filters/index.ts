import type { Filter } from '../filter.ts'
import { availabilityZone } from './availability-zone.ts'
import { computeUp } from './compute-up.ts'
import { cores } from './cores.ts'
import { differentHost } from './different-host.ts'
import { disk } from './disk.ts'
import { excludedHost } from './excluded-host.ts'
import { forcedHost } from './forced-host.ts'
import { ram } from './ram.ts'
import { sameHost } from './same-host.ts'

/** The filters that the option `scheduler.filters` may name. */
export const filters = (options: { serviceDownTime: number; pingSeconds: number }) =>
  ({
    'availability-zone': availabilityZone,
    'compute-up': computeUp(options.serviceDownTime, options.pingSeconds),
    ram,
    cores,
    disk,
    'same-host': sameHost,
    'different-host': differentHost,
    'forced-host': forcedHost,
    'excluded-host': excludedHost,
  }) as const satisfies Record<string, Filter>
