import { healthOf } from '../model/health.ts'

/** The fields of a daemon that are checked. */
type Daemon = Parameters<typeof healthOf>[0] & {
  readonly id: string
  readonly binary: string
  readonly host: string
  readonly version: string
  readonly seenAt: number
  readonly lastPongAt?: number | undefined
  readonly contracts?: Readonly<Record<string, string>> | undefined
}

/** The fields of a host that are checked. */
type Host = {
  readonly name: string
  readonly driver: string
  readonly unknownGuests?: { readonly count: number; readonly ids: readonly string[] } | undefined
}

/** Problems of the daemons that are up, and what to do about each. */
export function findProblems(daemons: readonly Daemon[]): Array<{ found: string; fix: string }> {
  const alive = daemons.filter(({ state }) => state === 'up')
  const unresponsive = alive.filter((daemon) => healthOf(daemon) === 'degraded')
  const found = unresponsive.map(({ id, seenAt, lastPongAt = 0 }) => ({
    found: `${id} is degraded: its heartbeats arrive, but it has received no ping of its own on the bus for ${Math.round((seenAt - lastPongAt) / 1000)} s`,
    fix: 'It reconnects by itself. If that does not help: is the broker short of memory or disk (rabbitmqctl status)? What does the log of the daemon say?',
  }))
  const versions = groups(alive, ({ version }) => version)
  if (versions.size > 1)
    found.push({
      found: `daemons of different versions: ${listed(versions)}`,
      fix: 'They work together, but features of the newer ones wait until the older ones are updated: nova service list -c id -c version -c contracts',
    })
  return found
}

/** The daemons that are down, and what to do about each. `now` is the time of whoever keeps their heartbeats. */
export function findDown(daemons: readonly Daemon[], now: number): Array<{ found: string; fix: string }> {
  return daemons
    .filter(({ state }) => state === 'down')
    .map(({ id, binary, host, seenAt }) => ({
      found: `${id} is down: its last heartbeat was ${Math.round((now - seenAt) / 1000)} s ago`,
      fix:
        binary === 'compute'
          ? `Start it on ${host}: nova daemon compute, or its unit. If that machine is gone: nova host delete ${host}`
          : `Start it on ${host}: nova daemon ${binary}, or its unit.`,
    }))
}

/** Guests on these hosts that are no instances of this cloud, and how to be rid of them. */
export function findUnknownGuests(hosts: readonly Host[]): Array<{ found: string; fix: string }> {
  return hosts.flatMap(({ name, driver, unknownGuests }) => {
    if (!unknownGuests) return []
    const { count, ids } = unknownGuests
    const listed = `nova host show ${name} -c unknown_guests`
    return [
      {
        found: `${name} has ${count} guest${count > 1 ? 's that are no instances' : ' that is no instance'} of this cloud: ${ids[0]}${count > 1 ? ' …' : ''}`,
        fix:
          driver === 'qemu'
            ? `See them all: ${listed}. To remove one for good, on ${name}, in the state directory: kill $(cat compute/${name}/instances/ID/qemu.pid); rm -r compute/${name}/instances/ID`
            : `See them all: ${listed}. They are simulated: while the compute daemon of ${name} is down, move compute/${name} out of its state directory.`,
      },
    ]
  })
}

function groups(daemons: readonly Daemon[], of: (daemon: Daemon) => string): Map<string, string[]> {
  const found = new Map<string, string[]>()
  for (const daemon of daemons) found.set(of(daemon), [...(found.get(of(daemon)) ?? []), daemon.id])
  return found
}

/** "0.1.0 (compute@h1, compute@h2 and 3 more), 0.2.0 (conductor@c)". */
const listed = (of: ReadonlyMap<string, readonly string[]>): string =>
  [...of]
    .map(
      ([name, ids]) => `${name} (${ids.slice(0, 2).join(', ')}${ids.length > 2 ? ` and ${ids.length - 2} more` : ''})`,
    )
    .join(', ')
