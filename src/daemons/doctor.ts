import { existsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { systemClock } from '../core/base/clock.ts'
import { fail, isFailure, reason } from '../core/base/errors.ts'
import { systemIds } from '../core/base/ids.ts'
import { silentLog } from '../core/base/log.ts'
import { busStatus } from '../core/conductor/actions/bus.ts'
import { certificatesOf } from '../core/config/certificates.ts'
import { hostName } from '../core/config/host-name.ts'
import type { Config } from '../core/config/load.ts'
import { busIsEmbedded, busUrl, databaseUrl, places } from '../core/config/places.ts'
import { notificationsPolicy } from '../core/contracts/broker.ts'
import { conductor } from '../core/contracts/conductor.ts'
import { pageIn, readList } from '../core/contracts/pages.ts'
import { databaseVersion, newestVersion } from '../core/db/migrate.ts'
import { openDatabase } from '../core/db/open.ts'
import { findDown, findProblems, findUnknownGuests } from '../core/diagnosis/daemons.ts'
import { hostOfBusUrl, hostsPolicy } from '../core/model/bus-user.ts'
import { type Context, serviceContext } from '../core/model/context.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { connectBus } from '../core/rpc/connect.ts'
import type { Api, Result } from '../core/rpc/contract.ts'
import type { AcceleratorChoice } from '../core/virt/qemu/accelerator.ts'
import { readCgroupAnswer } from '../core/virt/qemu/cgroups.ts'
import { findQemu, probeQemu } from '../core/virt/qemu/probe.ts'
import { GuestUsers } from '../core/virt/qemu/users.ts'
import { brokerByManagement } from './broker-keeper.ts'
import { ownBusStatus } from './own-broker.ts'

/** What was checked, its state, and what to do about it. */
export type Check = { check: string; state: 'ok' | 'warning' | 'failed'; found: string; fix: string }

const ok = (check: string, found: string): Check => ({ check, state: 'ok', found, fix: '' })
const warning = (check: string, found: string, fix: string): Check => ({ check, state: 'warning', found, fix })
const failed = (check: string, e: unknown, fix: string): Check => ({
  check,
  state: 'failed',
  found: reason(e),
  fix: (isFailure(e) && e.hint) || fix,
})

const leastFreeGb = 5

/**
 * Checks everything that this machine's part of the cloud depends on. Changes nothing, but stores the result of the KVM
 * probe for all, if there is a state directory.
 */
export async function examine(config: Config): Promise<Check[]> {
  const host = hostOfBusUrl(config.bus.url)
  // A host has no database, and its login may ask nobody but through its daemon.
  if (host !== undefined) {
    const [bus, disk, qemu] = await Promise.all([checkHostLogin(config, host), checkDisk(config), checkQemu(config)])
    return [bus, disk, ...qemu]
  }
  const [bus, database, disk, qemu] = await Promise.all([
    checkBus(config),
    checkDatabase(config),
    checkDisk(config),
    checkQemu(config),
  ])
  return [...bus, database, disk, ...qemu]
}

const joinBus = (config: Config): Promise<Bus> =>
  connectBus({
    url: busUrl(config),
    queues: config.bus.queues,
    tls: certificatesOf(config, 'bus'),
    name: 'doctor',
    log: silentLog,
    clock: systemClock,
    ids: systemIds,
    callTimeoutMs: 5000,
    connectTimeoutMs: 5000,
  })

/** The bus, as a host's login reaches it: that the broker accepts the login is all that can be asked. */
async function checkHostLogin(config: Config, host: string): Promise<Check> {
  try {
    await (await joinBus(config)).close()
    return ok('bus', `accepts the login of host ${host}; the rest of the cloud: nova doctor on a controller`)
  } catch (e) {
    return failed('bus', e, `On a controller, create the login anew: nova host add ${host}`)
  }
}

/** The bus and, through it, a conductor and its clock. */
async function checkBus(config: Config): Promise<Check[]> {
  try {
    const bus = await joinBus(config)
    try {
      const api = bus.client(conductor)
      const conductors = await checkConductor(api)
      // If no conductor answers, the broker may be the cause, and its keeper or its management API knows.
      const heard = conductors.every(({ state }) => state !== 'failed')
      const ctx = serviceContext('doctor', systemIds.requestId())
      const list = heard ? () => api.busStatus(ctx, {}) : queuesWithoutConductor(config, ctx)
      return [ok('bus', 'answers'), ...conductors, ...(list === undefined ? [] : [await checkQueues(list)])]
    } finally {
      await bus.close()
    }
  } catch (e) {
    return [failed('bus', e, 'Start it: nova up, or the RabbitMQ server of bus.url')]
  }
}

async function checkConductor(api: Api<typeof conductor>): Promise<Check[]> {
  try {
    const asked = systemClock.now()
    const { version, now } = await api.ping(serviceContext('doctor', systemIds.requestId()), {})
    const offMs = Math.round(now - (asked + systemClock.now()) / 2)
    const clock =
      Math.abs(offMs) < 2000
        ? ok('clock', `${offMs} ms from the conductor's`)
        : warning(
            'clock',
            `${offMs} ms from the conductor's`,
            'Leases need synchronised clocks: run an NTP client (chrony) on both machines.',
          )
    const ctx = serviceContext('doctor', systemIds.requestId())
    const [{ services }, hosts] = await Promise.all([
      api.status(ctx, {}),
      readList(
        async (asked) => pageIn(await api.hostList(ctx, asked), 'hosts'),
        ({ name }) => name,
      ),
    ])
    const unhealthy = [...findDown(services, now), ...findProblems(services)].map(({ found, fix }) =>
      warning('services', found, fix),
    )
    const well = ok(
      'services',
      `${services.filter((service) => service.state === 'up').length} up, all pass their self-ping`,
    )
    const unknown = findUnknownGuests(hosts).map(({ found, fix }) => warning('guests', found, fix))
    const conducted = ok('conductor', `answers, version ${version}`)
    return [conducted, clock, ...(unhealthy.length > 0 ? unhealthy : [well]), ...unknown]
  } catch (e) {
    return [failed('conductor', e, 'Start one: nova daemon conductor')]
  }
}

type Listed = {
  broker: Result<typeof conductor, 'busStatus'>['broker']
  queues: ReadonlyArray<{ name: string; messages: number; advice?: string | undefined }>
}

/** The queues as the broker itself tells; undefined if there is no way to ask it. */
function queuesWithoutConductor(config: Config, ctx: Context): (() => Promise<Listed>) | undefined {
  if (busIsEmbedded(config))
    return async () =>
      (await ownBusStatus(config, ctx)) ??
      fail('BusDown', { url: places(config.stateDir).keeperSocket, why: 'nobody listens there' })
  if (config.bus.managementUrl === '') return undefined
  return () => busStatus({ broker: brokerByManagement(config, systemClock, async () => []) }, ctx)
}

/**
 * What the broker's keeper reports: whether it accepts messages, whether its queues are bounded, whether each has a
 * consumer.
 */
async function checkQueues(list: () => Promise<Listed>): Promise<Check> {
  const check = 'queues'
  try {
    const { broker, queues } = await list()
    const [alone] = queues.filter(({ advice }) => advice !== undefined)
    if (broker.blocked?.length) {
      const largest = [...queues].sort((a, b) => b.messages - a.messages).slice(0, 3)
      const full = largest.map(({ name, messages }) => `${name} has ${messages} messages`).join(', ')
      const found = `the broker accepts no messages: ${broker.blocked.join(', ')}; ${full}`
      const purge = broker.product === 'embedded' ? 'nova bus purge QUEUE' : 'rabbitmqctl purge_queue QUEUE'
      return {
        check,
        state: 'failed',
        found,
        fix: `Purge queues that nobody consumes, on the broker's machine: ${purge}`,
      }
    }
    if (alone) return warning(check, `${alone.name}: ${alone.messages} messages`, alone.advice ?? '')
    const lacking = [notificationsPolicy, hostsPolicy].find(({ name }) => broker.policies?.includes(name) === false)
    if (lacking)
      return warning(
        check,
        `no policy ${lacking.name}: queues whose readers are gone fill the broker`,
        'The conductor sets it if the user of bus.management_url has the tag policymaker: docs/rabbitmq.md',
      )
    if (broker.partial !== undefined) return warning(check, 'RabbitMQ, partly visible', broker.partial)
    return ok(check, `${queues.length} on ${broker.product}, each with a consumer`)
  } catch (e) {
    return failed(check, e, 'docs/rabbitmq.md')
  }
}

async function checkDatabase(config: Config): Promise<Check> {
  const url = databaseUrl(config)
  if (url.startsWith('sqlite:') && !existsSync(url.slice('sqlite:'.length)))
    return warning('database', 'does not exist yet', 'nova up creates it; a compute host needs none.')
  try {
    const db = await openDatabase(url, { tls: certificatesOf(config, 'database'), log: silentLog, clock: systemClock })
    try {
      const version = await databaseVersion(db)
      const newest = newestVersion()
      if (version === newest) return ok('database', `answers, at ${version}`)
      const fix =
        version > newest && version !== 'none' ? 'A newer nova has migrated it: update this one.' : 'nova db sync'
      return warning('database', `at ${version}, the code is at ${newest}`, fix)
    } finally {
      await db.destroy()
    }
  } catch (e) {
    return failed('database', e, 'Check database.url: nova config show')
  }
}

async function checkDisk(config: Config): Promise<Check> {
  let path = config.stateDir
  while (!existsSync(path)) path = dirname(path)
  const { bavail, bsize } = await statfs(path)
  const freeGb = Math.floor((bavail * bsize) / 2 ** 30)
  return freeGb >= leastFreeGb
    ? ok('disk', `${freeGb} GiB free at ${path}`)
    : warning('disk', `${freeGb} GiB free at ${path}`, 'Free some space, or move the state directory: NOVA_STATE_DIR')
}

async function checkQemu(config: Config): Promise<Check[]> {
  if (config.compute.driver === 'fake') return [ok('hypervisor', 'fake, as configured')]
  if (config.compute.accelerator === 'tcg') {
    const qemu = await findQemu({})
    if (!qemu.found) return [warning('hypervisor', qemu.why, qemu.fix)]
    return [
      ok('hypervisor', `QEMU ${qemu.version}`),
      ok('accelerator', 'TCG, as configured'),
      ...(await checkConfinement(config)),
    ]
  }
  const [qemu, running] = await Promise.all([
    // Before the first start there is no place to keep the answer, and looking makes none.
    probeQemu(existsSync(config.stateDir) ? { file: places(config.stateDir).accelerator } : {}),
    runningAccelerator(config),
  ])
  if (!qemu.found) return [warning('hypervisor', qemu.why, qemu.fix)]
  return [
    ok('hypervisor', `QEMU ${qemu.version}`),
    checkAccelerator(config, qemu, running),
    ...(await checkConfinement(config)),
  ]
}

const checkConfinement = (config: Config): Promise<Check[]> => Promise.all([checkGuests(config), checkCgroups(config)])

/** Whom guests run as, and whether that works here. */
async function checkGuests({ compute, stateDir }: Config): Promise<Check> {
  const check = 'guests'
  const { guestUidBase: base, guestUidCount: count } = compute
  if (process.geteuid?.() !== 0) return ok(check, 'run as this user, who owns the state directory')
  if (count === 0)
    return warning(
      check,
      'run as root',
      'Give each a user of its own: unset compute.guest_uid_count, or run nova as a user',
    )
  try {
    await new GuestUsers(stateDir, { base, count }).check()
    return ok(check, `run as uids ${base + 1} to ${base + count}, one each`)
  } catch (e) {
    return failed(check, e, 'Set compute.guest_uid_base')
  }
}

/** What bounds guests, as this machine's compute host found: a shell is in another cgroup, where other things hold. */
async function checkCgroups(config: Config): Promise<Check> {
  const check = 'cgroups'
  const answer = await readCgroupAnswer(places(config.stateDir).compute(hostName(config)))
  if (answer === undefined) return ok(check, 'not tried yet: a compute host tries them when it starts')
  const held = answer.controllers.join(', ')
  if (answer.why === '') return ok(check, `one a guest: ${held}`)
  const without = 'guests run without: nothing limits memory, threads and processor time of QEMU itself'
  const found = `${held === '' ? without : `one a guest, for ${held} only`} (${answer.why})`
  // A user's guests are that user, who could lift any limit.
  if (process.geteuid?.() !== 0) return ok(check, found)
  return warning(check, found, 'Let the compute host write to cgroups, by no ProtectControlGroups: docs/systemd.md')
}

/** The accelerator of this machine's compute host, as it reports; undefined if no host is up. */
async function runningAccelerator(config: Config): Promise<string | undefined> {
  if (hostOfBusUrl(config.bus.url) !== undefined) return undefined
  try {
    const bus = await joinBus(config)
    try {
      const ctx = serviceContext('doctor', systemIds.requestId())
      const { host } = await bus.client(conductor).hostShow(ctx, { host: hostName(config) })
      return host.state === 'up' ? host.accelerator : undefined
    } finally {
      await bus.close()
    }
  } catch {
    // The rows of bus and conductor say why.
    return undefined
  }
}

/** What this machine can do, and whether its compute host uses it. */
function checkAccelerator(
  config: Config,
  { accelerator, why, fix }: AcceleratorChoice,
  running: string | undefined,
): Check {
  const check = 'accelerator'
  if (accelerator === 'kvm' && running === 'tcg')
    return warning(
      check,
      `TCG: KVM works now (${why}), but did not when the compute host started`,
      'Guests run, slowly. To use KVM: nova down; nova up',
    )
  if (accelerator === 'kvm') return ok(check, `KVM: ${why}`)
  if (config.compute.accelerator === 'kvm')
    return { check, state: 'failed', found: `compute.accelerator is kvm, but ${why}`, fix: fix ?? '' }
  return warning(check, `TCG: ${why}`, `Guests run, slowly. ${fix ?? ''}`)
}
