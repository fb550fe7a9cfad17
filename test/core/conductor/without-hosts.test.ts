import { expect, test } from 'vitest'
import { Failure } from '../../../src/core/base/errors.ts'
import { answerWithoutHosts, failureWithoutHosts } from '../../../src/core/conductor/without-hosts.ts'
import type { Event } from '../../../src/core/contracts/shapes.ts'

const target = 'compute.kvm-1.example'
const blocked = 'the broker is low on memory; "consoleLog" for compute.kvm-1.example may still be carried out later'
const failures = [
  new Failure('HostUnreachable', { target }),
  new Failure('CallTimeout', { target, method: 'consoleLog', seconds: 5 }),
  new Failure('BusBlocked', { url: 'amqp://bus', seconds: 5, why: blocked }),
]

test.each(failures.map((failure) => [failure.code, failure] as const))('%s names no host to a member', (_, failure) => {
  expect((failureWithoutHosts(failure) as Failure).message).not.toContain('kvm-1')
})

test.each(failures.map(({ code, message }) => [code, message]))('nor does a stored text of %s', (_, message) => {
  const event = { id: 1, at: 0, type: 'instance.pause.error', requestId: 'req-1', message } as Event
  const { events } = answerWithoutHosts('eventList', { events: [event] })
  expect(events[0]?.message).toContain('its host')
  expect(events[0]?.message).not.toContain('kvm-1')
})
