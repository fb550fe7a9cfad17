import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fail } from '../base/errors.ts'
import { pathInUrl } from '../base/url.ts'
import { type Config, userName } from './load.ts'

/** Paths under the state directory. Paths of sockets stay short: 107 bytes at most. */
export const places = (stateDir: string) => ({
  run: join(stateDir, 'run'),
  busSocket: join(stateDir, 'run', 'bus.sock'),
  /** The bus past its memory alarm: for the broker's keeper, and for commands that ask it. */
  keeperSocket: join(stateDir, 'run', 'keeper.sock'),
  busPassword: join(stateDir, 'run', 'bus.password'),
  /** The users of the embedded broker that were created for hosts. */
  busUsers: join(stateDir, 'bus-users.json'),
  pid: join(stateDir, 'run', 'nova.pid'),
  database: join(stateDir, 'nova.sqlite'),
  images: join(stateDir, 'images'),
  log: join(stateDir, 'log', 'nova.log'),
  /** The built-in guest's files, if they were built. */
  guest: join(stateDir, 'guest'),
  /** The driver that this machine's compute hosts had last, how many hosts there were, and their name. */
  driver: join(stateDir, 'driver'),
  /** Whether KVM can run guests on this machine, as the probe found: for its compute host and for `nova doctor`. */
  accelerator: join(stateDir, 'accelerator.json'),
  /** Everything that one compute host keeps: its identity, image cache and machines. */
  compute: (host: string) => join(stateDir, 'compute', host),
})

/** The URL of the database; if none is configured, an SQLite file in the state directory. */
export const databaseUrl = (config: Config): string =>
  config.database.url || `sqlite:${places(config.stateDir).database}`
/** Where the conductor keeps image files. */
export const imageDirectory = (config: Config): string => config.conductor.imageDir || places(config.stateDir).images

/** Whether the bus is this machine's own broker. */
export const busIsEmbedded = (config: Config): boolean => config.bus.url === ''

/**
 * The URL of the bus. For the embedded broker it contains the password that its first start created: `BusDown` if there
 * was no start yet, `Forbidden` if the password belongs to another user.
 */
export function busUrl(config: Config): string {
  return busIsEmbedded(config) ? embeddedBusUrl(config, places(config.stateDir).busSocket) : config.bus.url
}

/** The URL of this machine's own broker past its memory alarm; fails as {@link busUrl} does. */
export const keeperUrl = (config: Config): string => embeddedBusUrl(config, places(config.stateDir).keeperSocket)

function embeddedBusUrl(config: Config, socket: string): string {
  const { busPassword } = places(config.stateDir)
  try {
    const password = readFileSync(busPassword, 'utf8').trim()
    return `amqp+unix://${encodeURIComponent(config.broker.user)}:${password}@${pathInUrl(socket)}`
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === 'EACCES' || code === 'EPERM')
      return fail(
        'Forbidden',
        {
          what: `The cloud in ${config.stateDir} belongs to another user: ${userName()} may not read its bus password. Run the command as that user, or set NOVA_BUS_URL.`,
        },
        e,
      )
    return fail('BusDown', { url: socket, why: 'no cloud has been started here yet' }, e)
  }
}
