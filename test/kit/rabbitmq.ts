import { exec } from '../../src/core/base/exec.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { missing } from './missing.ts'

/** A virtual host of a RabbitMQ for one test, and its removal. */
export type RabbitMq = { url: string; drop(): Promise<void> }

/** A fresh virtual host on this machine's RabbitMQ; undefined where there is none (a failure where it is required). */
export async function rabbitmq(): Promise<RabbitMq | undefined> {
  const vhost = `nova-test-${systemIds.hex()}`
  const added = await exec('rabbitmqctl', ['add_vhost', vhost])
  if (added.code !== 0) {
    return missing('rabbitmq', added.code === 127 ? 'rabbitmqctl is not installed' : 'no RabbitMQ answers')
  }
  await rabbitmqctl('set_permissions', '-p', vhost, 'guest', '.*', '.*', '.*')
  return {
    url: `amqp://guest:guest@127.0.0.1:5672/${vhost}`,
    drop: async () => void (await rabbitmqctl('delete_vhost', vhost)),
  }
}

/** Runs rabbitmqctl; what it printed. */
export async function rabbitmqctl(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await exec('rabbitmqctl', args)
  if (code !== 0) throw new Error(`rabbitmqctl ${args[0]}: ${stderr || stdout}`)
  return stdout
}
