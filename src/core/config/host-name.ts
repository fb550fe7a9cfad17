import { readdirSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { fail } from '../base/errors.ts'
import type { Config } from './load.ts'
import { places } from './places.ts'

/** The compute hosts that a state directory had at its last start. */
export type KeptHosts = {
  readonly driver: string
  /** How many hosts the fake driver simulated; 1 with any other driver. */
  readonly count: number
  /** Their name, or what their names begin with; undefined if an older version started them and nothing tells it. */
  readonly name: string | undefined
}

/** The compute hosts that this state directory had; undefined before their first start. */
export function keptHosts(stateDir: string): KeptHosts | undefined {
  const [driver, count, name] = (read(places(stateDir).driver) ?? '').trim().split(' ')
  if (!driver) return undefined
  const hosts = Number(count ?? 1)
  return { driver, count: hosts, name: name ?? onlyName(stateDir, hosts) }
}

/** The names of `count` hosts: simulated ones are numbered. */
export const namesOf = (name: string, count: number): string[] =>
  count === 1 ? [name] : Array.from({ length: count }, (_, i) => `${name}-${i + 1}`)

/**
 * The name of this machine in the cloud: the option; or else the name that its state directory has had from the start,
 * because its instances belong to that host and machines are renamed (DHCP, cloud-init); or else the machine's own name.
 * `ConfigInvalid` if the machine's own name cannot be a host's name.
 */
export function hostName(config: Config): string {
  const named = config.compute.host || keptHosts(config.stateDir)?.name
  if (named) return named
  const own = hostname()
  if (/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/.test(own)) return own
  return fail('ConfigInvalid', {
    key: 'compute.host',
    value: 'nothing',
    allowed: `this machine is called "${own}", but host names consist of letters, digits, dots and hyphens: set compute.host`,
    source: 'default',
  })
}

/** Older versions did not note the name, but each host has a directory of that name. */
function onlyName(stateDir: string, count: number): string | undefined {
  const [name, ...others] = directoriesIn(places(stateDir).compute(''))
    .filter((dir) => count === 1 || dir.endsWith('-1'))
    .map((dir) => (count === 1 ? dir : dir.slice(0, -2)))
  return others.length === 0 ? name : undefined
}

function directoriesIn(path: string): string[] {
  try {
    return readdirSync(path)
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw e
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    // Somebody who may not read the state directory does not start its hosts.
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return undefined
    throw e
  }
}
