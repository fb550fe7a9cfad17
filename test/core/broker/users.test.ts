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
  expect(await first.putUser('ann', 'open sesame', permissions)).toBe(false)
  expect(readFileSync(path, 'utf8')).not.toContain('sesame')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  await first.close()
  const second = await start(path)
  const channel = await (await login(second, 'ann', 'open%20sesame')).createChannel()
  await channel.assertQueue('mine')
  await expect(login(second, 'ann', 'wrong')).rejects.toThrow('ACCESS_REFUSED')
  await expect(login(second, 'bob', 'open%20sesame')).rejects.toThrow('ACCESS_REFUSED')
})

test('a new password and a removal count at once, and for connections that stand', async () => {
  const broker = await start(file())
  await broker.putUser('ann', 'one', permissions)
  const model = await login(broker, 'ann', 'one')
  const closed = new Promise((resolve) => model.on('close', resolve))
  expect(await broker.putUser('ann', 'two', permissions)).toBe(true)
  await closed
  await expect(login(broker, 'ann', 'one')).rejects.toThrow('ACCESS_REFUSED')
  const again = await login(broker, 'ann', 'two')
  const closedAgain = new Promise((resolve) => again.on('close', resolve))
  expect([broker.deleteUser('ann'), broker.deleteUser('ann')]).toEqual([true, false])
  await closedAgain
  await expect(login(broker, 'ann', 'two')).rejects.toThrow('ACCESS_REFUSED')
})

test('an expression that is none is refused, and nobody is let in by it', async () => {
  const broker = await start(file())
  await expect(broker.putUser('ann', 'one', { ...permissions, read: '(' })).rejects.toThrow(SyntaxError)
  await expect(login(broker, 'ann', 'one')).rejects.toThrow('ACCESS_REFUSED')
})
