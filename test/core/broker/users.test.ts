import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { afterEach, expect, test } from 'vitest'
import type { Broker } from '../../../src/core/broker/broker.ts'
import { portOf, startTestBroker } from './kit.ts'

const undo: Array<() => unknown> = []
afterEach(async () => {
  for (const each of undo.splice(0).reverse()) await each()
})

const permissions = { configure: '^mine$', write: '^mine$', read: '^mine$', topics: [] }
const start = async (usersFile: string): Promise<Broker> => {
  const broker = await startTestBroker({ usersFile })
  undo.push(() => broker.close())
  return broker
}
const file = (): string => {
  const dir = mkdtempSync(join(tmpdir(), 'nova-users-'))
  undo.push(() => rmSync(dir, { recursive: true }))
  return join(dir, 'users.json')
}
const login = async (broker: Broker, user: string, password: string) => {
  const model = await connect(`amqp://${user}:${password}@127.0.0.1:${portOf(broker)}`)
  model.on('error', () => undefined)
  undo.push(() => model.close().catch(() => undefined))
  return model
}

test('users outlive the broker in a file of its owner’s, which has no passwords', async () => {
  const path = file()
  const first = await start(path)
  const { known, password } = first.putUser('ann', permissions)
  expect(known).toBe(false)
  expect(readFileSync(path, 'utf8')).not.toContain(password)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  await first.close()
  const second = await start(path)
  const channel = await (await login(second, 'ann', password)).createChannel()
  await channel.assertQueue('mine')
  await expect(login(second, 'ann', 'wrong')).rejects.toThrow('ACCESS_REFUSED')
  await expect(login(second, 'bob', password)).rejects.toThrow('ACCESS_REFUSED')
})

test('a new password and a removal count at once, and for connections that stand', async () => {
  const broker = await start(file())
  const first = broker.putUser('ann', permissions)
  const model = await login(broker, 'ann', first.password)
  const closed = new Promise((resolve) => model.on('close', resolve))
  const second = broker.putUser('ann', permissions)
  expect(second.known).toBe(true)
  await closed
  await expect(login(broker, 'ann', first.password)).rejects.toThrow('ACCESS_REFUSED')
  const again = await login(broker, 'ann', second.password)
  const closedAgain = new Promise((resolve) => again.on('close', resolve))
  expect([broker.deleteUser('ann'), broker.deleteUser('ann')]).toEqual([true, false])
  await closedAgain
  await expect(login(broker, 'ann', second.password)).rejects.toThrow('ACCESS_REFUSED')
})

test('queues and exchanges that a user may do nothing to are not told of either', async () => {
  const broker = await start(file())
  const all = await (await login(broker, 'guest', 'guest')).createChannel()
  await all.assertQueue('theirs')
  await all.assertQueue('mine')
  const { password } = broker.putUser('ann', permissions)
  const channel = async () => {
    const ch = await (await login(broker, 'ann', password)).createChannel()
    ch.on('error', () => undefined)
    return ch
  }
  await (await channel()).checkQueue('mine')
  for (const name of ['theirs', 'nowhere']) await expect((await channel()).checkQueue(name)).rejects.toThrow('403')
  await expect((await channel()).checkExchange('amq.topic')).rejects.toThrow('403')
})

test('an expression that is none is refused, and nobody is let in by it', async () => {
  const broker = await start(file())
  expect(() => broker.putUser('ann', { ...permissions, read: '(' })).toThrow(SyntaxError)
  await expect(login(broker, 'ann', 'one')).rejects.toThrow('ACCESS_REFUSED')
})
