import { expect, test } from 'vitest'
import { findDown, findUnknownGuests } from '../../../src/core/diagnosis/daemons.ts'

test('each daemon that is down is named, with the time of its last heartbeat and what to do', () => {
  const daemon = { version: '1', seenAt: 40_000, status: 'enabled' as const }
  const up = { ...daemon, id: 'compute@h1', binary: 'compute', host: 'h1', state: 'up' as const }
  const down = { ...daemon, id: 'compute@h2', binary: 'compute', host: 'h2', state: 'down' as const }
  const conductor = { ...daemon, id: 'conductor@c', binary: 'conductor', host: 'c', state: 'down' as const }
  expect(findDown([up], 90_000)).toEqual([])
  expect(findDown([up, down, conductor], 90_000)).toEqual([
    {
      found: 'compute@h2 is down: its last heartbeat was 50 s ago',
      fix: 'Start it on h2: nova daemon compute, or its unit. If that machine is gone: nova host delete h2',
    },
    {
      found: 'conductor@c is down: its last heartbeat was 50 s ago',
      fix: 'Start it on c: nova daemon conductor, or its unit.',
    },
  ])
})

test('guests that are no instances are told with their host and the way to remove them', () => {
  const id = '00000000-0000-4000-8000-000000000001'
  const host = { name: 'h1', driver: 'qemu' }
  expect(findUnknownGuests([host])).toEqual([])
  expect(findUnknownGuests([host, { ...host, name: 'h2', unknownGuests: { count: 1, ids: [id] } }])).toEqual([
    {
      found: `h2 has 1 guest that is no instance of this cloud: ${id}`,
      fix: 'See them all: nova host show h2 -c unknown_guests. To remove one for good, on h2, in the state directory: kill $(cat compute/h2/instances/ID/qemu.pid); rm -r compute/h2/instances/ID',
    },
  ])
  expect(findUnknownGuests([{ ...host, unknownGuests: { count: 2, ids: [id, id] } }])).toMatchObject([
    { found: `h1 has 2 guests that are no instances of this cloud: ${id} …` },
  ])
})
