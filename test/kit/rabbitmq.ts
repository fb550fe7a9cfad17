import { once } from 'node:events'
import { rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../../src/core/base/exec.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { missing } from './missing.ts'

/** A virtual host of a RabbitMQ for one test, and its removal. */
export type RabbitMq = { url: string; drop(): Promise<void> }

/** A fresh virtual host on this machine's RabbitMQ; undefined where there is none (a failure where it is required). */
export async function rabbitmq(): Promise<RabbitMq | undefined> {
  const vhost = `nova-test-${systemIds.hex()}`
  const permission = { user: 'guest', vhost, configure: '.*', write: '.*', read: '.*' }
  const file = join(tmpdir(), `${vhost}.json`)
  writeFileSync(file, JSON.stringify({ vhosts: [{ name: vhost }], permissions: [permission] }))
  // Both in one command: each takes half a second.
  const added = await exec('rabbitmqctl', ['import_definitions', file])
  rmSync(file)
  if (added.code !== 0) {
    return missing('rabbitmq', added.code === 127 ? 'rabbitmqctl is not installed' : 'no RabbitMQ answers')
  }
  return {
    url: `amqp://guest:guest@127.0.0.1:5672/${vhost}`,
    drop: async () => void (await rabbitmqctl('delete_vhost', vhost)),
  }
}

/**
 * Whether this machine's RabbitMQ can be used; if not, that is said (a failure where it is required). Each rabbitmqctl takes
 * a second, so where root asks, its program and a listener on the port are enough.
 */
export async function hasRabbitmq(): Promise<boolean> {
  const found = process.getuid?.() === 0 && (await exec('sh', ['-c', 'command -v rabbitmqctl'])).code === 0
  if (found && (await listens(5672))) return true
  const probe = await rabbitmq()
  await probe?.drop()
  return probe !== undefined
}

async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Runs rabbitmqctl; what it printed. */
export async function rabbitmqctl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await exec('rabbitmqctl', args)
  if (code !== 0) throw new Error(`rabbitmqctl ${args[0]}: ${stderr || stdout}`)
  return stdout
}
