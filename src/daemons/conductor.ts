import { mkdirSync } from 'node:fs'
import { ownDirectory } from '../core/base/own-directory.ts'
import { version } from '../core/base/version.ts'
import type { ConductorDeps } from '../core/conductor/deps.ts'
import { unreadRecorder } from '../core/conductor/guard.ts'
import { claimImageDirectory } from '../core/conductor/image-directory.ts'
import { agentManager, computeAgentManager, conductorManager } from '../core/conductor/manager.ts'
import { KnownOperations } from '../core/conductor/operations/known.ts'
import { startPeriodic } from '../core/conductor/periodic.ts'
import { Uploads } from '../core/conductor/uploads.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import { hostName } from '../core/config/host-name.ts'
import { databaseUrl, imageDirectory } from '../core/config/places.ts'
import { agent } from '../core/contracts/agent.ts'
import { compute } from '../core/contracts/compute.ts'
import { computeAgent } from '../core/contracts/compute-agent.ts'
import { conductor } from '../core/contracts/conductor.ts'
import { scheduler } from '../core/contracts/scheduler.ts'
import { syncDatabase } from '../core/db/migrate.ts'
import { type Db, openDatabase } from '../core/db/open.ts'
import { busBackAt } from '../core/rpc/back-at.ts'
import { type Bus, served } from '../core/rpc/bus.ts'
import { Speakers } from '../core/rpc/speakers.ts'
import { openHearing } from '../core/service/hearing.ts'
import { brokerOf, keepPolicies } from './broker-keeper.ts'
import { openPublisher } from './publisher.ts'
import { joinBus, type Runtime } from './runtime.ts'

/** Opens the database and migrates it; conductor and scheduler share it if they share a process. */
export async function openState({ config, log, clock, onStop }: Runtime): Promise<Db> {
  if (config.database.url === '') ownDirectory(config.stateDir, 'state_dir')
  const db = await openDatabase(databaseUrl(config), { tls: certificatesOf(config, 'database'), log, clock })
  onStop(() => db.destroy())
  await syncDatabase(db)
  return db
}

/** The conductor: owns the database, starts operations and carries each one to its end. */
export async function startConductor(runtime: Runtime, bus: Bus, db: Db): Promise<void> {
  const { config, log, clock, ids, onStop } = runtime
  const imageDir = imageDirectory(config)
  mkdirSync(imageDir, { recursive: true, mode: 0o700 })
  await claimImageDirectory(db, ids, imageDir, config.sources['conductor.image_dir'] ?? 'default')
  const speakers = new Speakers()
  const backAt = busBackAt(bus, clock)
  const deps: ConductorDeps = {
    db,
    clock,
    ids,
    log: log.child({ part: 'conductor' }),
    version,
    hostName: hostName(config),
    incarnation: ids.uuid(),
    computeOn: (host) => bus.client(compute, { server: host, cap: speakers.on(compute, 'compute', host) }),
    scheduler: bus.client(scheduler, { cap: speakers.everywhere(scheduler, 'scheduler') }),
    speakers,
    broker: brokerOf(config, clock, bus, db),
    busBackAt: backAt,
    knownOperations: new KnownOperations(),
    hearing: openHearing(clock, config.services, backAt, clock.now()),
    publish: openPublisher(runtime, 'conductor', bus, db),
    imageDir,
    uploads: new Uploads(imageDir, config.conductor.imageReserveMib * 2 ** 20),
    options: {
      ...config.operations,
      heartbeatSeconds: config.services.heartbeatSeconds,
      serviceDownTime: config.services.serviceDownTime,
      pingSeconds: config.services.pingSeconds,
      eventsMax: config.conductor.eventsMax,
      historyDays: config.conductor.historyDays,
      operationsDays: config.conductor.operationsDays,
      quota: config.quota,
      placement: config.scheduler,
    },
  }
  const pingMs = config.services.pingSeconds * 1000
  const as = { server: deps.hostName, slots: config.conductor.slots, pingMs }
  // Apart, so that front ends and hosts do not take each other's slots.
  const apiServing = await bus.serve([served(conductor, conductorManager(deps))], as)
  onStop(() => apiServing.stop())
  const forHosts = { ...as, forHosts: true, onUnread: unreadRecorder(deps) }
  const agentServing = await bus.serve([served(agent, agentManager(deps))], forHosts)
  onStop(() => agentServing.stop())
  const computeServing = await bus.serve([served(computeAgent, computeAgentManager(deps))], forHosts)
  onStop(() => computeServing.stop())
  const serving = {
    get lastPongAt() {
      return Math.min(...[apiServing, agentServing, computeServing].map((one) => one.lastPongAt ?? clock.now()))
    },
  }
  onStop(await startPeriodic(deps, serving))
  keepPolicies(runtime)
}

/** `nova daemon conductor`. */
export async function runConductor(runtime: Runtime): Promise<void> {
  const db = await openState(runtime)
  await startConductor(runtime, await joinBus(runtime, 'conductor'), db)
}
