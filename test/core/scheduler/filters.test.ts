import { describe, expect, test } from 'vitest'
import type { RequestSpec } from '../../../src/core/contracts/scheduler.ts'
import { filters } from '../../../src/core/scheduler/filters.ts'
import type { HostState } from '../../../src/core/scheduler/question.ts'
import { host, now, question } from './samples.ts'

const table = filters({ serviceDownTime: 30, pingSeconds: 10 })
const size = { vcpus: 1, memoryMb: 2048, diskGb: 10 }
const used = { vcpus: 0, memoryMb: 0, diskGb: 0 }
const service = { disabled: false, disabledReason: undefined, seenAt: now }

type Case = {
  filter: keyof typeof table
  when: string
  host?: Partial<HostState>
  spec?: Partial<RequestSpec>
  hostOf?: Record<string, string>
  /** Absent: the host is let through. */
  no?: string
}

const speaking = (speaks: string, needs: string) => ({ host: { service: { ...service, speaks } }, spec: { needs } })

const cases: Case[] = [
  { filter: 'availability-zone', when: 'no zone was asked for' },
  { filter: 'availability-zone', when: 'it is in the zone', spec: { availabilityZone: 'nova' } },
  {
    filter: 'availability-zone',
    when: 'it is in another',
    spec: { availabilityZone: 'east' },
    no: 'in zone nova, not in east',
  },

  { filter: 'compute-up', when: 'its service reported just now' },
  { filter: 'compute-up', when: 'it reported just in time', host: { service: { ...service, seenAt: now - 30_000 } } },
  {
    filter: 'compute-up',
    when: 'it went silent',
    host: { service: { ...service, seenAt: now - 83_400 } },
    no: 'down: not heard of for 83 s (at most 30 s)',
  },
  { filter: 'compute-up', when: 'it heard itself just in time', host: { service: { ...service, silentMs: 25_000 } } },
  {
    filter: 'compute-up',
    when: 'it reported just now, and is deaf',
    host: { service: { ...service, silentMs: 41_700 } },
    no: 'degraded: has not heard itself on the bus for 41 s (at most 25 s)',
  },
  {
    filter: 'compute-up',
    when: 'it is disabled with a reason',
    host: { service: { ...service, disabled: true, disabledReason: 'new RAM on Friday' } },
    no: 'disabled: new RAM on Friday',
  },
  {
    filter: 'compute-up',
    when: 'it is disabled without a reason',
    host: { service: { ...service, disabled: true } },
    no: 'disabled',
  },
  {
    filter: 'compute-up',
    when: 'it has no service',
    host: { service: undefined },
    no: 'its compute service has never reported',
  },

  { filter: 'knows-kind', when: 'any host knows the kind and it has not said what it knows' },
  { filter: 'knows-kind', when: 'it speaks what is needed', ...speaking('2.1', '2.1') },
  { filter: 'knows-kind', when: 'it speaks a later version', ...speaking('2.3', '2.1') },
  {
    filter: 'knows-kind',
    when: 'it speaks an earlier version',
    ...speaking('2.0', '2.1'),
    no: 'its daemon speaks version 2.0, 2.1 is needed: update it',
  },
  {
    filter: 'knows-kind',
    when: 'it speaks another major version',
    ...speaking('3.5', '2.1'),
    no: 'its daemon speaks version 3.5, 2.1 is needed: update it',
  },
  {
    filter: 'knows-kind',
    when: 'it has not said what it speaks',
    spec: { needs: '2.1' },
    no: 'its daemon speaks version 2.0, 2.1 is needed: update it',
  },

  { filter: 'ram', when: 'exactly enough is left', host: { used: { ...used, memoryMb: 2048 } } },
  {
    filter: 'ram',
    when: 'one MiB is lacking',
    host: { used: { ...used, memoryMb: 2049 } },
    no: 'wants 2048 MiB of memory, 2047 MiB left of 4096',
  },
  {
    filter: 'ram',
    when: 'more is used than may be promised',
    host: { used: { ...used, memoryMb: 5000 } },
    no: 'wants 2048 MiB of memory, 0 MiB left of 4096',
  },

  { filter: 'cores', when: 'exactly enough is left', host: { used: { ...used, vcpus: 15 } } },
  {
    filter: 'cores',
    when: 'too few are left',
    host: { used: { ...used, vcpus: 14 } },
    spec: { size: { ...size, vcpus: 4 } },
    no: 'wants 4 vCPU, 2 left of 16',
  },

  { filter: 'disk', when: 'exactly enough is left', host: { used: { ...used, diskGb: 90 } } },
  {
    filter: 'disk',
    when: 'none is wanted and all is used',
    host: { used: { ...used, diskGb: 100 } },
    spec: { size: { ...size, diskGb: 0 } },
  },
  {
    filter: 'disk',
    when: 'too little is left',
    host: { used: { ...used, diskGb: 91 } },
    no: 'wants 10 GiB of disk, 9 GiB left of 100',
  },

  { filter: 'same-host', when: 'no hint was given' },
  { filter: 'same-host', when: 'the instance is here', spec: { hints: { same_host: 'a' } }, hostOf: { a: 'h1' } },
  {
    filter: 'same-host',
    when: 'one of several is here',
    spec: { hints: { same_host: 'b, a' } },
    hostOf: { a: 'h1', b: 'h2' },
  },
  {
    filter: 'same-host',
    when: 'they are elsewhere or nowhere',
    spec: { hints: { same_host: 'a,b' } },
    hostOf: { a: 'h2' },
    no: 'not the same host: a is on h2, b is on no host',
  },

  { filter: 'different-host', when: 'no hint was given' },
  { filter: 'different-host', when: 'it is elsewhere', spec: { hints: { different_host: 'a' } }, hostOf: { a: 'h2' } },
  { filter: 'different-host', when: 'it is nowhere', spec: { hints: { different_host: 'a' } } },
  {
    filter: 'different-host',
    when: 'it is here',
    spec: { hints: { different_host: 'a,b' } },
    hostOf: { a: 'h2', b: 'h1' },
    no: 'not a different host: b is here',
  },
  {
    filter: 'different-host',
    when: 'both are here',
    spec: { hints: { different_host: 'a,b' } },
    hostOf: { a: 'h1', b: 'h1' },
    no: 'not a different host: a, b are here',
  },

  { filter: 'forced-host', when: 'no host was named' },
  { filter: 'forced-host', when: 'it is the one', spec: { forcedHost: 'h1' } },
  { filter: 'forced-host', when: 'another was named', spec: { forcedHost: 'h3' }, no: 'not h3, the host asked for' },

  { filter: 'excluded-host', when: 'the boot failed elsewhere', spec: { excluded: ['h2'] } },
  {
    filter: 'excluded-host',
    when: 'the boot failed here',
    spec: { excluded: ['h2', 'h1'] },
    no: 'failed here in an earlier attempt, or is here',
  },
]

describe.each(Object.keys(table))('filter %s', (name) => {
  test.each(cases.filter((c) => c.filter === name))('$when', ({ filter, host: but, spec, hostOf, no }) => {
    expect(table[filter](host(but), question(spec, hostOf))?.reason).toBe(no)
  })
})
