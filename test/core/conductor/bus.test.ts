import { expect, test } from 'vitest'
import { busStatus } from '../../../src/core/conductor/actions/bus.ts'
import type { broker as contract } from '../../../src/core/contracts/broker.ts'
import type { Api } from '../../../src/core/rpc/contract.ts'
import { admin } from './rig.ts'

test('messages that nobody takes come with advice, unless their queue goes with the process that it belongs to', async () => {
  const waiting = { messages: 1, consumers: 0 }
  const names = ['compute.h1', 'agent', 'notifications.info', 'reply_0a1b', 'reply_host.h1.0a1b', 'nova_events_0a1b']
  const queueList = async () => ({
    broker: { product: 'embedded' },
    queues: [...names.map((name) => ({ name, ...waiting })), { name: 'conductor', messages: 1, consumers: 1 }],
  })
  const { queues } = await busStatus({ broker: { queueList } as unknown as Api<typeof contract> }, admin)
  expect(queues.map(({ name, advice }) => [name, advice?.split(':')[1] ?? null])).toEqual([
    ['compute.h1', ' start the service (nova daemon compute), or throw them away'],
    ['agent', ' start the service (nova daemon conductor), or throw them away'],
    ['notifications.info', ' start their reader, or throw them away'],
    ['reply_0a1b', null],
    ['reply_host.h1.0a1b', null],
    ['nova_events_0a1b', null],
    ['conductor', null],
  ])
})
