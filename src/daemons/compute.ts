import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { hostIdentity } from '../core/agent/identity.ts'
import { ownDirectory } from '../core/base/own-directory.ts'
import { version } from '../core/base/version.ts'
import { startCompute } from '../core/compute/start.ts'
import { type Config, hostName } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'
import { agent } from '../core/contracts/agent.ts'
import { computeAgent } from '../core/contracts/compute-agent.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { SpokenBy } from '../core/rpc/versions.ts'
import { type DriverOptions, openDriver } from '../core/virt/open.ts'
import { joinBus, type Runtime } from './runtime.ts'

/**
 * The compute hosts of this process: this machine, or as many as the fake driver simulates. No database, on purpose.
 */
export async function startComputeHosts(runtime: Runtime, bus: Bus): Promise<void> {
  const { config } = runtime
  const name = hostName(config)
  ownDirectory(config.stateDir, 'state_dir')
  const { driver, hosts: count } = await chooseDriver(config)
  const names = count === 1 ? [name] : Array.from({ length: count }, (_, i) => `${name}-${i + 1}`)
  await Promise.all(names.map((host) => startComputeHost(runtime, bus, host, driver)))
  // Only once it is running: a driver that does not start must not be the next start's choice.
  const chosen = driver === 'fake' ? `${driver} ${count}\n` : `${driver}\n`
  writeFileSync(places(config.stateDir).driver, chosen, { mode: 0o600 })
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

/**
 * `auto` is the driver that this state directory's hosts had before, because another driver would not find their
 * guests; the first time it is QEMU if installed, otherwise the fake driver. The number of simulated hosts stays the
 * same, too, unless one is given: each keeps guests of its own.
 */
async function chooseDriver(config: Config): Promise<{ driver: string; hosts: number }> {
  const { driver: file } = places(config.stateDir)
  const [before, count] = lineOf(file)?.split(' ') ?? []
  const driver = config.compute.driver === 'auto' ? (before ?? (await findDriver())) : config.compute.driver
  const given = config.sources['fake.hosts'] !== undefined || before !== 'fake' || count === undefined
  const hosts = driver === 'fake' ? (given ? config.fake.hosts : Number(count)) : 1
  return { driver, hosts }
}

async function findDriver(): Promise<string> {
  const { defaultBinary, defaultQemuImg, qemuVersion } = await import('../core/virt/qemu/probe.ts')
  const versions = await Promise.all([qemuVersion(defaultBinary), qemuVersion(defaultQemuImg)])
  return versions.includes(undefined) ? 'fake' : 'qemu'
}

function lineOf(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, 'utf8').trim() || undefined : undefined
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
