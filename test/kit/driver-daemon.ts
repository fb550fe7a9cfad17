/**
 * A compute daemon reduced to its driver: does the actions that it is given, prints `doing <action>` before each and `done`
 * after the last, and lives until it is killed. `node --import tsx driver-daemon.ts '{"options":…,"actions":[["start",…]]}'`
 */
import { systemClock } from '../../src/core/base/clock.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import type { Driver } from '../../src/core/virt/driver.ts'
import { type DriverOptions, openDriver } from '../../src/core/virt/open.ts'

export type DaemonOrder = { options: DriverOptions; actions: Array<[keyof Driver, ...unknown[]]> }

const { options, actions } = JSON.parse(process.argv[2] ?? '') as DaemonOrder
const driver = await openDriver(options, { log: silentLog, clock: systemClock, ids: systemIds })
await driver.init()
for (const [action, ...args] of actions) {
  console.log(`doing ${action}`)
  await (driver[action] as (...args: unknown[]) => Promise<unknown>)(...args)
}
console.log('done')
setInterval(() => undefined, 60_000)
