import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostIdentity } from '../core/agent/identity.ts'
import { mapConcurrent } from '../core/base/concurrency.ts'
import { fail } from '../core/base/errors.ts'
import { ownDirectory } from '../core/base/own-directory.ts'
import { version } from '../core/base/version.ts'
import { startCompute } from '../core/compute/start.ts'
import { hostName, type KeptHosts, keptHosts, namesOf } from '../core/config/host-name.ts'
import type { Config } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'
import { agent } from '../core/contracts/agent.ts'
import { computeAgent } from '../core/contracts/compute-agent.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { SpokenBy } from '../core/rpc/versions.ts'
import { type DriverOptions, guestsKept, openDriver } from '../core/virt/open.ts'
import { joinBus, type Runtime } from './runtime.ts'

/** Each host keeps channels open, of which a connection has 2,047. */
const hostsPerConnection = 500
/** Hosts that say hello at the same time: conductors answer so many well before a host would ask again. */
const startsAtOnce = 50

/**
 * The compute hosts of this process: this machine, or as many as the fake driver simulates. No database, on purpose.
 * `areAll`: the state directory has no others, as with `nova up`; daemons of several hosts may share one.
 */
export async function startComputeHosts(runtime: Runtime, bus: Bus, { areAll = false } = {}): Promise<void> {
  const { config } = runtime
  ownDirectory(config.stateDir, 'state_dir')
  const { driver, name, names } = await chooseHosts(config, areAll)
  const buses = [bus]
  while (buses.length * hostsPerConnection < names.length) buses.push(await joinBus(runtime, 'compute'))
  await mapConcurrent([...names.entries()], startsAtOnce, ([i, host]) =>
    startComputeHost(runtime, buses[Math.floor(i / hostsPerConnection)] as Bus, host, driver),
  )
  // Only once it is running: a driver that does not start must not be the next start's choice.
  writeFileSync(places(config.stateDir).driver, `${driver} ${names.length} ${name}\n`, { mode: 0o600 })
}

async function startComputeHost(
  { config, log, clock, ids, onStop }: Runtime,
  bus: Bus,
  host: string,
  driver: string,
): Promise<void> {
  const stateDir = places(config.stateDir).compute(host)
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  const identity = await hostIdentity(stateDir, ids)
  onStop(() => identity.release())
  const part = log.child({ part: 'compute', host })
  const conductors = new SpokenBy()
  // A conductor that dies takes the request with it: the request is repeated well before the lease ends.
  const timeoutMs = Math.round((config.operations.leaseSeconds * 1000) / 3)
  const stop = await startCompute({
    bus,
    service: 'compute',
    host,
    hostId: identity.hostId,
    incarnation: ids.uuid(),
    availabilityZone: config.compute.availabilityZone,
    version,
    driver: await openDriver(driverOptions(config, driver, stateDir), { log: part, clock, ids }),
    agent: bus.client(agent, { timeoutMs, cap: conductors.cap(agent) }),
    computeAgent: bus.client(computeAgent, { timeoutMs, cap: conductors.cap(computeAgent) }),
    conductors,
    clock,
    ids,
    log: part,
    imageDir: join(stateDir, 'images'),
    options: {
      ...config.compute,
      heartbeatSeconds: config.services.heartbeatSeconds,
      pingSeconds: config.services.pingSeconds,
    },
  })
  onStop(stop)
}

/** The hosts to start, and their driver. */
type Hosts = { driver: string; name: string; names: readonly string[] }

/**
 * `auto` is the driver that this state directory's hosts had before, because another driver would not find their
 * guests; the first time it is QEMU if installed, otherwise the fake driver. The number of simulated hosts stays the
 * same, too, unless one is given: each keeps guests of its own. `ConfigInvalid` if instances of earlier hosts would be
 * left behind.
 */
async function chooseHosts(config: Config, areAll: boolean): Promise<Hosts> {
  const before = keptHosts(config.stateDir)
  const driver = config.compute.driver === 'auto' ? (before?.driver ?? (await findDriver())) : config.compute.driver
  const given = config.sources['fake.hosts'] !== undefined || before?.driver !== 'fake'
  const count = driver === 'fake' ? (given ? config.fake.hosts : (before?.count ?? 1)) : 1
  const name = hostName(config)
  const hosts = { driver, name, names: namesOf(name, count) }
  // Another name that was given is that of another host, whose daemon is not this one.
  if (before && (areAll || before.name === name)) await refuseToStrand(config, before, hosts)
  return hosts
}

/** Nobody would find the instances of a host that gets another driver or another name: they would run on, unseen. */
async function refuseToStrand(config: Config, before: KeptHosts, hosts: Hosts): Promise<void> {
  const { driver, name = hosts.name } = before
  for (const host of namesOf(name, before.count)) {
    if (driver === hosts.driver && hosts.names.includes(host)) continue
    const kept = await guestsKept(places(config.stateDir).compute(host))
    const guests = kept.find((one) => one.driver === driver)?.guests
    if (guests === undefined) continue
    const [key, value] =
      driver !== hosts.driver
        ? ['compute.driver', hosts.driver]
        : name !== hosts.name
          ? ['compute.host', hosts.name]
          : ['fake.hosts', String(hosts.names.length)]
    const flags = driver === 'fake' ? `${driver} --hosts ${before.count}` : driver
    fail('ConfigInvalid', {
      key,
      value,
      allowed: `${guests} instance${guests > 1 ? 's' : ''} of host ${host} (driver ${driver}) would be left behind in ${config.stateDir}`,
      source: config.sources[key] ?? 'default',
      hint: `Start as before: nova up --driver ${flags} --set compute.host=${name}. Or delete those instances first, or use another state directory: NOVA_STATE_DIR=/a/directory`,
    })
  }
}

async function findDriver(): Promise<string> {
  const { defaultBinary, defaultQemuImg, qemuVersion } = await import('../core/virt/qemu/probe.ts')
  const versions = await Promise.all([qemuVersion(defaultBinary), qemuVersion(defaultQemuImg)])
  return versions.includes(undefined) ? 'fake' : 'qemu'
}

function driverOptions(config: Config, name: string, stateDir: string): DriverOptions {
  const { vcpus, memoryMb, diskGb, latencyMs } = config.fake
  return {
    name,
    stateDir,
    accelerator: config.compute.accelerator,
    acceleratorFile: places(config.stateDir).accelerator,
    cpuModel: config.compute.cpuModel,
    guestUids: { base: config.compute.guestUidBase, count: config.compute.guestUidCount },
    fake: { resources: { vcpus, memoryMb, diskGb }, latencyMs },
  }
}

/** `nova daemon compute`. */
export async function runCompute(runtime: Runtime): Promise<void> {
  await startComputeHosts(runtime, await joinBus(runtime, 'compute'))
}
