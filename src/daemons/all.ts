import { fail } from '../core/base/errors.ts'
import { ownDirectory } from '../core/base/own-directory.ts'
import { holdPidFile } from '../core/base/pid-file.ts'
import { busIsEmbedded, places } from '../core/config/places.ts'
import { startEmbeddedBroker } from './broker.ts'
import { startComputeHosts } from './compute.ts'
import { openState, startConductor } from './conductor.ts'
import { joinBus, type Runtime } from './runtime.ts'
import { startScheduler } from './scheduler.ts'

/** How often a process whose supervisor was killed tries to take over the pid file. */
const stepInMs = 100

/** A whole cloud in one process, over the same wire as on many machines: what `nova up` runs. */
export async function startAll(runtime: Runtime): Promise<void> {
  holdStateDirectory(runtime)
  if (busIsEmbedded(runtime.config)) await startEmbeddedBroker(runtime)
  const db = await openState(runtime)
  const bus = await joinBus(runtime, 'nova')
  await startConductor(runtime, bus, db)
  await Promise.all([startScheduler(runtime, bus, db), startComputeHosts(runtime, bus, { areAll: true })])
}

/**
 * One cloud per state directory. The pid file names the supervisor if there is one; if the supervisor is killed, this
 * process takes over the file.
 */
function holdStateDirectory({ config, log, clock, onStop }: Runtime): void {
  const { run, pid: file } = places(config.stateDir)
  ownDirectory(config.stateDir, 'state_dir')
  ownDirectory(run, 'state_dir')
  const hold = () => {
    const taken = holdPidFile(file)
    if (taken.held) onStop(() => void taken.release())
    return taken
  }
  if (process.connected) {
    process.once('disconnect', () => {
      log.warn('supervisor is gone: continuing without it')
      // The channel closes before the supervisor is wholly dead, and another `nova up` may come in between: retry until
      // the file is ours.
      const stepIn = (): void => {
        if (!hold().held) clock.after(stepInMs, stepIn)
      }
      stepIn()
    })
    return
  }
  const taken = hold()
  if (!taken.held)
    fail('InvalidRequest', {
      what: `A cloud is already running in ${config.stateDir} (process ${taken.pid}).`,
      hint: 'Look at it: nova status',
    })
}
