import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { exec } from '../../../src/core/base/exec.ts'
import { withModules } from '../../kit/python.ts'
import { buses, fresh } from './kit.ts'

/** Pika, the AMQP client of most Python programs, as Debian packages it. */
const interpreter = await withModules('pika', 'python3-pika')
const program = resolve(import.meta.dirname, 'pika_client.py')

/** What an action of `pika_client.py` comes to on any broker. */
const actions: Array<[action: string, outcome: unknown]> = [
  ['confirmed', ['confirmed', 'confirmed', 'returned 1 NO_ROUTE', 'refused']],
  ['consumed', { 'waited at': [2], taken: ['0', '1', '2', '3', '4', '5'], left: 0 }],
  [
    'generated',
    {
      seen: ['0', '1'],
      rest: [
        [true, '2'],
        [true, '3'],
        [true, '4'],
      ],
      empty: true,
    },
  ],
  [
    'got',
    {
      body: 'grüße',
      headers: { a: 1, b: [true, null, 'ü'], c: { d: 2 ** 40 } },
      same: true,
      sent: true,
      redelivered: [false, true],
      count: 0,
      empty: true,
    },
  ],
  [
    'lifecycle',
    {
      counts: [2, 2],
      refused: [
        [404, 'NOT_FOUND'],
        [404, 'NOT_FOUND'],
        [406, 'PRECONDITION_FAILED'],
        [403, 'ACCESS_REFUSED'],
      ],
    },
  ],
  ['exclusive', [405, 404]],
  ['aged', { dead: 'short', reason: 'expired', queue: true, left: 1 }],
  ['answered', [['7', 'answer to question']]],
  ['transacted', ['kept']],
  ['large', true],
]

if (interpreter) {
  describe.each(await buses())('pika on $name', ({ url }) => {
    test.each(actions)('%s', async (action, outcome) => {
      const asked = new URL(url).pathname === '' ? `${url}/%2F` : url
      const { code, stdout, stderr } = await exec(interpreter, [program, asked, action, fresh(action)])
      expect(stderr).toBe('')
      expect(code).toBe(0)
      expect(JSON.parse(stdout)).toEqual(outcome)
    })
  })
} else test('pika is not asked where it is not', () => expect(process.env.NOVA_REQUIRE ?? '').not.toContain('python'))
