import { version } from '../core/base/version.ts'
import { hostName } from '../core/config/host-name.ts'
import { compute } from '../core/contracts/compute.ts'
import { scheduler } from '../core/contracts/scheduler.ts'
import type { Db } from '../core/db/open.ts'
import { busBackAt } from '../core/rpc/back-at.ts'
import { type Bus, served } from '../core/rpc/bus.ts'
import { Speakers } from '../core/rpc/speakers.ts'
import { schedulerManager } from '../core/scheduler/manager.ts'
import { openHearing } from '../core/service/hearing.ts'
import { startHeartbeat } from '../core/service/heartbeat.ts'
import { openState } from './conductor.ts'
import { openPublisher } from './publisher.ts'
import { joinBus, type Runtime } from './runtime.ts'

/** The scheduler: chooses a host for each new or moving instance and claims resources there. Several may run. */
export async function startScheduler(runtime: Runtime, bus: Bus, db: Db): Promise<void> {
  const { config, log, clock, ids, onStop } = runtime
  const speakers = new Speakers()
  const deps = {
    db,
    clock,
    ids,
    log: log.child({ part: 'scheduler' }),
    version,
    hostName: hostName(config),
    incarnation: ids.uuid(),
    computeOn: (host: string) => bus.client(compute, { server: host, cap: speakers.on(compute, 'compute', host) }),
    speakers,
    // It may start later than those who hear the hosts: what they know counts from the beginning.
    hearing: openHearing(clock, config.services, busBackAt(bus, clock), 0),
    publish: openPublisher(runtime, 'scheduler', bus, db),
    options: {
      ...config.scheduler,
      serviceDownTime: config.services.serviceDownTime,
      heartbeatSeconds: config.services.heartbeatSeconds,
      pingSeconds: config.services.pingSeconds,
    },
  }
  const serving = await bus.serve([served(scheduler, schedulerManager(deps))], {
    server: deps.hostName,
    slots: config.scheduler.slots,
    pingMs: config.services.pingSeconds * 1000,
  })
  onStop(() => serving.stop())
  const reported = { binary: 'scheduler', contracts: { [scheduler.topic]: scheduler.version } }
  onStop(await startHeartbeat(deps, reported, serving))
}

/** `nova daemon scheduler`. */
export async function runScheduler(runtime: Runtime): Promise<void> {
  const db = await openState(runtime)
  await startScheduler(runtime, await joinBus(runtime, 'scheduler'), db)
}
