import { describe, expect, test } from 'vitest'
import { redact } from '../../../src/core/base/redact.ts'
import { parseAddresses } from '../../../src/core/rpc/address.ts'

describe('bus URLs', () => {
  test('say where, as whom and in which virtual host', () => {
    expect(parseAddresses('amqp://nova:p%40ss%2F@bus.example:5673/my%2Fvhost')).toEqual([
      {
        shown: 'amqp://nova:***@bus.example:5673/my%2Fvhost',
        connect: {
          protocol: 'amqp',
          hostname: 'bus.example',
          port: 5673,
          username: 'nova',
          password: 'p@ss/',
          vhost: 'my%2Fvhost',
          heartbeat: 10,
        },
        socket: {},
      },
    ])
  })

  test('have the defaults of amqplib', () => {
    const [{ connect }] = parseAddresses('amqp://localhost')
    expect(connect).toMatchObject({ username: 'guest', password: 'guest', vhost: '%2F' })
    expect(connect.port).toBeUndefined()
    expect(parseAddresses('amqp://h/')[0].connect.vhost).toBe('%2F')
    expect(parseAddresses('amqps://[::1]/v?heartbeat=3')[0].connect).toMatchObject({
      protocol: 'amqps',
      hostname: '::1',
      vhost: 'v',
      heartbeat: 3,
    })
  })

  test('may name a socket, and a virtual host on it', () => {
    const [address] = parseAddresses('amqp+unix://nova:geheim@/run/nova/bus.sock?vhost=v%20w')
    expect(address).toMatchObject({
      shown: 'amqp+unix://nova:***@/run/nova/bus.sock?vhost=v%20w',
      socket: { path: '/run/nova/bus.sock' },
      connect: { username: 'nova', password: 'geheim', vhost: 'v%20w' },
    })
    expect(parseAddresses('amqp+unix:///run/x').at(0)?.socket).toEqual({ path: '/run/x' })
  })

  test('may be several, and a comma in a password is none between them', () => {
    const all = parseAddresses('amqp://a:1,2@one, amqps://b:3@two,amqp+unix://c:4@/three')
    expect(all.map((address) => address.shown)).toEqual([
      'amqp://a:***@one',
      'amqps://b:***@two',
      'amqp+unix://c:***@/three',
    ])
    expect(all[0].connect.password).toBe('1,2')
  })

  test.each([
    '',
    'bus',
    'amqp://',
    'http://u:secret@host/',
    'amqp://u:secret@host:port/',
    'amqp+unix://u:secret@',
    'amqp+unix://u:secret@/',
    'amqp://u:secret@host/?heartbeat=often',
    'amqp://u:secret@host/?heartbeat=-1',
  ])('%j is refused, without its password', (url) => {
    expect(() => parseAddresses(url)).toThrow(
      expect.objectContaining({ code: 'ConfigInvalid', message: expect.stringMatching(/amqp:\/\/user:password@host/) }),
    )
    expect(() => parseAddresses(url)).not.toThrow(/secret/)
  })

  test.each([
    ['amqp://nova:secret@host/v', 'amqp://nova:***@host/v'],
    ['amqp://nova:sec/ret@x@host', 'amqp://nova:***@host'],
    ['amqp://:secret@host', 'amqp://:***@host'],
    ['amqp://nova@host', 'amqp://nova@host'],
    ['amqp://host:5672/v', 'amqp://host:5672/v'],
    ['nova:secret@host', 'nova:***@host'],
    ['amqp://a:secret@x,amqp://b:secret@y', 'amqp://a:***@x,amqp://b:***@y'],
    ['not a URL', 'not a URL'],
  ])('%j is shown as %j', (url, shown) => expect(redact(url)).toBe(shown))
})
