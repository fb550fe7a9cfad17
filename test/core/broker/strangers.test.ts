import { scryptSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'amqplib'
import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { frame } from '../../../src/core/broker/frames.ts'
import { SlowHash } from '../../../src/core/broker/slow-hash.ts'
import { client, closeClients, portOf, startTestBroker } from './kit.ts'
import { frameOf, RawPeer } from './raw-peer.ts'

closeClients()
const start = async (usersFile?: string) => {
  const broker = await startTestBroker(usersFile === undefined ? {} : { usersFile })
  onTestFinished(() => broker.close())
  return { broker, port: portOf(broker) }
}

test('one address may have 64 connections that have not logged in; those that have do not count', async () => {
  const { port } = await start()
  const url = `amqp://guest:guest@127.0.0.1:${port}`
  await client(url)
  const silent = Array.from({ length: 64 }, () => new RawPeer(port))
  await Promise.all(silent.map((each) => new Promise((resolve) => each.socket.once('connect', resolve))))
  await new RawPeer(port).closed
  silent[0]!.socket.destroy()
  await expect
    .poll(() =>
      connect(url)
        .then((model) => model.close())
        .then(
          () => 'let in',
          () => 'refused',
        ),
    )
    .toBe('let in')
})

test('before the handshake a frame has at most 4 KiB', async () => {
  const { port } = await start()
  const peer = new RawPeer(port)
  peer.write(Buffer.from('AMQP\0\0\x09\x01'))
  await peer.hears('connection.start')
  peer.write(frameOf(frame.method, 0, Buffer.alloc(5_000)))
  expect(await peer.hears('connection.close')).toMatchObject({ replyCode: 501 })
})

test('a refused login is told so after a second, whether there is such a user or not', async () => {
  const { broker, port } = await start()
  broker.putUser('ann', { configure: '', write: '', read: '', topics: [] })
  const began = systemClock.now()
  const tries = ['ann', 'guest', 'bob'].map((user) => connect(`amqp://${user}:wrong@127.0.0.1:${port}`))
  for (const each of tries) await expect(each).rejects.toThrow('ACCESS_REFUSED')
  expect(systemClock.now() - began).toBeGreaterThanOrEqual(990)
})

test('a password that an earlier version hashed with scrypt still counts, and has the fast hash from then on', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'nova-users-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'users.json')
  const salt = Buffer.from('0123456789abcdef')
  const hash = scryptSync('old', salt, 32).toString('base64')
  const permissions = { configure: '^mine$', write: '^$', read: '^$', topics: [] }
  writeFileSync(file, JSON.stringify({ ann: { salt: salt.toString('base64'), hash, permissions } }))
  const { port } = await start(file)
  await expect(connect(`amqp://ann:wrong@127.0.0.1:${port}`)).rejects.toThrow('ACCESS_REFUSED')
  const twice = await Promise.all([1, 2].map(() => client(`amqp://ann:old@127.0.0.1:${port}`)))
  await (await twice[0]!.createChannel()).assertQueue('mine')
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual({
    ann: { salt: expect.any(String), mac: expect.any(String), permissions },
  })
  await client(`amqp://ann:old@127.0.0.1:${port}`)
  await expect(connect(`amqp://ann:wrong@127.0.0.1:${port}`)).rejects.toThrow('ACCESS_REFUSED')
})

test('slow hashes wait in a short queue; one address has four places in it', async () => {
  const slow = new SlowHash()
  const salt = Buffer.alloc(16)
  const of = (address: string) => slow.of('x', salt, 32, address)
  const one = Array.from({ length: 6 }, () => of('10.0.0.1'))
  const other = of('10.0.0.2')
  const outcomes = await Promise.all(one)
  expect(outcomes.filter((each) => each === undefined).length).toBeGreaterThanOrEqual(1)
  expect(await other).toHaveLength(32)
  const many = await Promise.all(Array.from({ length: 30 }, (_, i) => of(`10.0.1.${i}`)))
  expect(many.filter((each) => each !== undefined).length).toBeGreaterThanOrEqual(16)
  expect(many.filter((each) => each === undefined).length).toBeGreaterThan(0)
  expect(await of('10.0.0.1')).toHaveLength(32)
})
