import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fail } from '../core/base/errors.ts'
import { newPassword } from '../core/base/ids.ts'
import { startBroker } from '../core/broker/broker.ts'
import type { Config } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'
import type { Runtime } from './runtime.ts'

/** What the kernel takes as the path of a socket, in bytes. */
const socketPathMax = 107

/** Starts the embedded broker on its socket in the state directory, and on the addresses that the configuration names. */
export async function startEmbeddedBroker({ config, log, onStop }: Runtime): Promise<void> {
  const { run, busSocket } = places(config.stateDir)
  if (Buffer.byteLength(busSocket) > socketPathMax) {
    const allowed = `too long: its sockets' paths may have ${socketPathMax} bytes, ${busSocket} has more`
    fail('ConfigInvalid', { key: 'state_dir', value: config.stateDir, allowed, source: 'NOVA_STATE_DIR' })
  }
  mkdirSync(run, { recursive: true, mode: 0o700 })
  // The socket is always there: that is how commands on this machine find the bus.
  const listen = [{ path: busSocket }, ...config.broker.listen.map(address)]
  const broker = await startBroker({
    listen,
    users: { [config.broker.user]: busPassword(config) },
    heartbeatSeconds: config.broker.heartbeatSeconds,
    log: log.child({ part: 'broker' }),
  })
  onStop(() => broker.close())
}

/** The broker's password: made at first start, kept in a file that only its owner may read. */
function busPassword(config: Config): string {
  const path = places(config.stateDir).busPassword
  try {
    writeFileSync(path, `${newPassword()}\n`, { mode: 0o600, flag: 'wx' })
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e
  }
  return readFileSync(path, 'utf8').trim()
}

/** `unix:/path`, `host:port` or `[v6]:port`. */
function address(text: string): { path: string } | { host: string; port: number } {
  if (text.startsWith('unix:')) return { path: text.slice('unix:'.length) }
  const { hostname, port } = new URL(`tcp://${text}`)
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 5672) }
}
