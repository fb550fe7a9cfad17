import { describe, expect, test } from 'vitest'
import { pathInUrl, urlParts } from '../../../src/core/base/url.ts'

const given = { key: 'database.url', allowed: 'it must be mysql://…' }

describe('a URL of an option', () => {
  test('is taken apart, and nothing is encoded any more', () => {
    expect(urlParts('mysql://no%40va:p%25%2F%23@[2001:db8::1]:3307/my%20db?socketPath=/x%25', given)).toMatchObject({
      protocol: 'mysql:',
      host: '2001:db8::1',
      port: 3307,
      user: 'no@va',
      password: 'p%/#',
      path: '/my db',
      params: new URLSearchParams({ socketPath: '/x%' }),
    })
    expect(urlParts('amqp://h', given)).toMatchObject({ host: 'h', port: undefined, user: '', password: '', path: '' })
  })

  test.each([
    'mysql://root:secret100%zz@h/x',
    'mysql://root:secret#b@h/x',
    'mysql://root:secret/b@h/x',
    'mysql://u:secret@h:x/',
  ])('%s is refused with what to write instead, and without its password', (text) => {
    expect(() => urlParts(text, given)).toThrow(
      expect.objectContaining({
        code: 'ConfigInvalid',
        message: expect.stringMatching(/database\.url.*write % as %25/),
      }),
    )
    expect(() => urlParts(text, given)).not.toThrow(/secret/)
  })

  test.each(['/tmp/x y', '/tmp/x%20y', '/tmp/x#y', '/tmp/ü?&', '/tmp/a,b'])(
    'takes the path %s and gives it back',
    (path) => {
      expect(urlParts(`amqp+unix://u:p@localhost${pathInUrl(path)}`, given).path).toBe(path)
    },
  )
})
