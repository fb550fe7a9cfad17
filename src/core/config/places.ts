import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail } from '../base/errors.ts'
import { type Config, userName } from './load.ts'

/** Where things are under the state directory. Sockets stay short: a socket's path has 107 bytes at most. */
export const places = (stateDir: string) => ({
  run: join(stateDir, 'run'),
  busSocket: join(stateDir, 'run', 'bus.sock'),
  busPassword: join(stateDir, 'run', 'bus.password'),
  /** The users of the embedded broker that hosts were given. */
  busUsers: join(stateDir, 'bus-users.json'),
  pid: join(stateDir, 'run', 'nova.pid'),
  database: join(stateDir, 'nova.sqlite'),
  images: join(stateDir, 'images'),
  log: join(stateDir, 'log', 'nova.log'),
  /** The built-in guest's files, where they were built. */
  guest: join(stateDir, 'guest'),
  /** The driver that this machine's compute hosts had last, and how many pretended ones there were. */
  driver: join(stateDir, 'driver'),
  /** Whether KVM can run guests on this machine, as it was found: for its compute host and for `nova doctor`. */
  accelerator: join(stateDir, 'accelerator.json'),
  /** All that one compute host keeps: its identity, image cache and machines. */
  compute: (host: string) => join(stateDir, 'compute', host),
})

/** The URL of the database; an SQLite file in the state directory where none is configured. */
export const databaseUrl = (config: Config): string =>
  config.database.url || `sqlite:${places(config.stateDir).database}`
/** Where the conductor keeps image files. */
export const imageDirectory = (config: Config): string => config.conductor.imageDir || places(config.stateDir).images

/** Whether this machine's own broker is meant. */
export const busIsEmbedded = (config: Config): boolean => config.bus.url === ''

/**
 * The URL of the bus. That of the embedded broker has the password that its first start has made: `BusDown` where there
 * was none yet, `Forbidden` where it is another user's.
 */
export function busUrl(config: Config): string {
  if (!busIsEmbedded(config)) return config.bus.url
  const { busSocket, busPassword } = places(config.stateDir)
  try {
    return embeddedBusUrl(config, readFileSync(busPassword, 'utf8').trim())
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM')
      return fail(
        'Forbidden',
        {
          what: `The cloud in ${config.stateDir} is another user's: ${userName()} may not read its bus password. Use its owner, or set NOVA_BUS_URL.`,
        },
        e,
      )
    return fail('BusDown', { url: busSocket, why: 'no cloud was started here yet' }, e)
  }
}

/** The embedded broker's URL with a password. */
const embeddedBusUrl = (config: Config, password: string): string =>
  `amqp+unix://${encodeURIComponent(config.broker.user)}:${password}@${places(config.stateDir).busSocket}`
