import { expect, test } from 'vitest'
import { Failure } from '../../../src/core/base/errors.ts'
import { answerWithoutHosts, failureWithoutHosts } from '../../../src/core/conductor/without-hosts.ts'
import type { Event } from '../../../src/core/contracts/shapes.ts'

const target = 'compute.kvm-1.example'
const blocked = 'the broker is low on memory; "consoleLog" for compute.kvm-1.example may still be carried out later'
const failures = [
  new Failure('HostUnreachable', { target }),
  new Failure('HostDown', { host: 'kvm-1.example', seconds: 60 }),
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

test('nor does a text that says where something was not undone', () => {
  const message = 'Operation x was cancelled. Not undone on kvm-1.example. Not undone on kvm-1.'
  const event = { id: 1, at: 0, type: 'instance.migrate.error', host: 'kvm-2', requestId: 'req-1', message } as Event
  const { events } = answerWithoutHosts('eventList', { events: [event] })
  expect(events[0]?.message).toBe('Operation x was cancelled. Not undone on its host. Not undone on its host.')
})
