import { expect, test } from 'vitest'
import { findDown } from '../../../src/core/diagnosis/daemons.ts'

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
