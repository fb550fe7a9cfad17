import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/base/clock.ts'
import { silentLog } from '../../src/core/base/log.ts'
import type { Tls } from '../../src/core/base/tls.ts'
import { startBroker } from '../../src/core/broker/broker.ts'
import { certificatesOf } from '../../src/core/config/certificates.ts'
import { loadConfig } from '../../src/core/config/load.ts'
import { databaseVersion, newestVersion, syncDatabase } from '../../src/core/db/migrate.ts'
import { openDatabase } from '../../src/core/db/open.ts'
import { served } from '../../src/core/rpc/bus.ts'
import { portOf } from '../core/broker/kit.ts'
import { context, join as joinBus, refusal, Toys, toys } from '../core/rpc/kit.ts'
import { type Certificates, certificates } from '../kit/certificates.ts'
import { Cloud } from '../kit/cloud.ts'
import { privateMariadb } from '../kit/private-mariadb.ts'
import { freePort, privateRabbit } from '../kit/private-rabbitmq.ts'

const ours = await certificates()
const strange = await certificates()
const elsewhere = await certificates('another.example')
afterAll(() => {
  for (const made of [ours, strange, elsewhere]) made.drop()
})

type Running = { url: string; stop(): Promise<void> }
const embedded = async (shown: Certificates): Promise<Running> => {
  const { cert, key } = shown.trust('shown') as Required<Tls>
  const broker = await startBroker({
    listen: [{ port: 0, tls: true }],
    // With an authority it would ask its clients for certificates.
    tls: { cert, key },
    users: { nova: 'secret' },
    log: silentLog,
  })
  return { url: `amqps://nova:secret@localhost:${portOf(broker)}`, stop: () => broker.close() }
}
const rabbit = async (shown: Certificates): Promise<Running | undefined> => {
  const node = await privateRabbit({ tls: shown })
  return node && { url: node.tlsUrl.replace('127.0.0.1', 'localhost'), stop: () => node.stop() }
}

describe.each([
  ['the embedded broker', embedded],
  ['RabbitMQ', rabbit],
])('the bus by TLS (%s)', (_name, start) => {
  let running: Running | undefined
  beforeAll(async () => {
    running = await start(ours)
  })
  afterAll(() => running?.stop())

  test('works with the authority that the broker has its certificate from', async () => {
    if (!running) return
    const [server, caller] = [
      await joinBus(running.url, { tls: ours.trust() }),
      await joinBus(running.url, { tls: ours.trust('shown') }),
    ]
    try {
      await server.serve([served(Toys, toys())], { server: 'h', slots: 1 })
      expect(await caller.client(Toys).add(context(), { a: 1, b: 2 })).toEqual({ sum: 3 })
    } finally {
      await Promise.all([server.close(), caller.close()])
    }
  })

  test.each([
    ['another authority', () => strange.trust()],
    ['none', () => undefined],
  ])('is refused with %s, in one line without the password', async (_what, tls) => {
    if (!running) return
    const refused = await refusal(joinBus(running.url, { tls: tls() }))
    expect(refused).toMatchObject({
      code: 'BusUntrusted',
      message: expect.stringMatching(/^The bus at \S+ could not be verified: its certificate .*CA.*\.$/),
    })
    expect(String(refused)).not.toMatch(/secret|guest:guest/)
  })

  test('says so where one side speaks TLS and the other does not', async () => {
    if (!running) return
    const plainly = running.url.replace('amqps:', 'amqp:')
    expect(await refusal(joinBus(plainly, { connectTimeoutMs: 2_000 }))).toMatchObject({ code: 'BusDown' })
  })
})

test('a certificate for another name is refused', async () => {
  const running = await embedded(elsewhere)
  try {
    expect(await refusal(joinBus(running.url, { tls: elsewhere.trust() }))).toMatchObject({
      code: 'BusUntrusted',
      message: expect.stringContaining('does not cover the host name'),
    })
  } finally {
    await running.stop()
  }
})

test('a cloud by TLS from its options alone, whose broker asks for certificates, too', async () => {
  const port = await freePort()
  const cloud = await Cloud.open('embedded', {
    NOVA_BROKER_LISTEN: `tls:127.0.0.1:${port}`,
    NOVA_BROKER_CERT_FILE: ours.cert,
    NOVA_BROKER_KEY_FILE: ours.key,
    NOVA_BROKER_CA_FILE: ours.ca,
    NOVA_COMPUTE_DRIVER: 'fake',
  })
  try {
    for (const name of ['broker', 'conductor', 'scheduler']) await cloud.daemon(name)
    const { url } = await cloud.json<{ url: string }>('host', 'add', 'far')
    expect(url).toMatch(new RegExp(`^amqps://host\\.far:.+@127\\.0\\.0\\.1:${port}$`))
    const host = {
      NOVA_STATE_DIR: join(cloud.stateDir, 'far'),
      NOVA_BUS_URL: url,
      NOVA_COMPUTE_HOST: 'far',
      NOVA_BUS_CA_FILE: ours.ca,
    }
    const certificate = { NOVA_BUS_CERT_FILE: ours.cert, NOVA_BUS_KEY_FILE: ours.key }
    await cloud.daemon('compute', { ...host, ...certificate })
    expect(await cloud.json('host', 'list')).toMatchObject([{ name: 'far', state: 'up' }])
    await expect(cloud.daemon('compute', { ...host, ...certificate, NOVA_BUS_CA_FILE: strange.ca })).rejects.toThrow(
      'exit 1',
    )
    // Without a certificate of its own it is not let in.
    expect(await refusal(joinBus(url, { tls: ours.trust() }))).toMatchObject({ code: 'BusDown' })
  } finally {
    await cloud.close()
  }
})

test('MariaDB by TLS: with the right authority, not with another, and not without', async () => {
  const server = await privateMariadb(ours)
  if (!server) return
  const open = (tls?: Tls) => openDatabase(server.url, { log: silentLog, clock: systemClock, tls })
  try {
    const db = await open(ours.trust())
    await syncDatabase(db)
    expect(await databaseVersion(db)).toBe(newestVersion())
    await db.destroy()
    expect(await refusal(open(strange.trust()))).toMatchObject({
      code: 'DatabaseDown',
      message: expect.stringMatching(
        /^The database cannot be reached: localhost:\d+: its certificate could not be verified/,
      ),
    })
    // That is how MariaDB says that a login is for TLS only.
    expect(await refusal(open())).toMatchObject({ message: expect.stringContaining('Access denied') })
  } finally {
    await server.stop()
  }
})

describe('paths of certificates are looked at when a process starts', () => {
  const read = async (env: Record<string, string>) =>
    certificatesOf(await loadConfig({ env: { NOVA_CONFIG: '/dev/null', ...env } }), 'bus')

  test('and read', async () => {
    expect(await read({})).toBeUndefined()
    expect(await read({ NOVA_BUS_CA_FILE: ours.ca })).toEqual(ours.trust())
    const all = { NOVA_BUS_CA_FILE: ours.ca, NOVA_BUS_CERT_FILE: ours.cert, NOVA_BUS_KEY_FILE: ours.key }
    expect(await read(all)).toEqual(ours.trust('shown'))
  })

  const text = join(import.meta.dirname, 'tls.test.ts')
  test.each([
    [
      { NOVA_BUS_CA_FILE: '/nowhere/ca.pem' },
      'bus.ca_file = /nowhere/ca.pem (NOVA_BUS_CA_FILE): there is no such file',
    ],
    [{ NOVA_BUS_CA_FILE: text }, 'it must be a certificate in PEM'],
    [
      { NOVA_BUS_CERT_FILE: ours.cert },
      'bus.key_file = (nothing) (default): set bus.key_file, too: the key that belongs to bus.cert_file',
    ],
    [{ NOVA_BUS_KEY_FILE: ours.key }, 'set bus.cert_file, too: the certificate that belongs to bus.key_file'],
    [{ NOVA_BUS_CERT_FILE: ours.cert, NOVA_BUS_KEY_FILE: strange.key }, `it is not the key of ${ours.cert}`],
    [{ NOVA_BUS_CERT_FILE: ours.cert, NOVA_BUS_KEY_FILE: ours.cert }, 'it must be a private key in PEM'],
  ])('or refused: %o', async (env, says) => {
    expect(await refusal(read(env as Record<string, string>))).toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining(says),
    })
  })
})
