import { describe, expect, test } from 'vitest'
import { beatMs, returnPath } from '../../../src/core/rpc/request.ts'

describe('an answer goes', () => {
  test.each([
    ['reply_6f1b', undefined],
    ['reply_6f1b', 'nova'],
    ['reply_host.h1.6f1b', undefined],
    ['reply_host.h1.6f1b', 'host.h1'],
  ])('to %s, asked by %s', (queue, busUser) =>
    expect(returnPath({ _msg_id: 'm', _reply_q: queue }, busUser)).toEqual({ queue, id: 'm' }),
  )

  test.each([
    ['notifications.info', undefined],
    ['scheduler', 'nova'],
    ['compute.h2', 'host.h1'],
    ['reply_6f1b', 'host.h1'],
    ['reply_host.h2.6f1b', 'host.h1'],
    ['reply_host.h1', 'host.h1'],
    [`reply_${'x'.repeat(250)}`, undefined],
  ])('never to %s, asked by %s', (queue, busUser) =>
    expect(returnPath({ _msg_id: 'm', _reply_q: queue }, busUser)).toBeUndefined(),
  )
})

describe('signs of life', () => {
  test.each([
    [60, 30_000],
    [1, 500],
    [1e-9, 500],
    [0.2, 500],
    [0, undefined],
    [-1, undefined],
    [Number.POSITIVE_INFINITY, undefined],
    ['1', undefined],
  ])('for a limit of %s s come every %s ms', (timeout, ms) => expect(beatMs({ _timeout: timeout })).toBe(ms))
})
