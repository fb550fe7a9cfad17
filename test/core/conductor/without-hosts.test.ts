import { expect, test } from 'vitest'
import { Failure, RemoteError } from '../../../src/core/base/errors.ts'
import { answerWithoutHosts, failureWithoutHosts } from '../../../src/core/conductor/without-hosts.ts'
import type { Event, OperationSummary } from '../../../src/core/contracts/shapes.ts'

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

test.each(failures.map(({ code, message }) => [code, message]))('nor does a stored text of %s', (code, message) => {
  const event = { id: 1, at: 0, type: 'instance.pause.error', requestId: 'req-1', message, code } as Event
  const { events } = answerWithoutHosts('eventList', { events: [event] })
  expect(events[0]?.message).not.toContain('kvm-1')
})

test('nor does a text that says where something was not undone', () => {
  const code = 'OperationCancelled'
  const message = 'Operation x was cancelled. Not undone on kvm-1.example. Not undone on kvm-1.'
  const event = {
    id: 1,
    at: 0,
    type: 'instance.migrate.error',
    host: 'kvm-2',
    requestId: 'req-1',
    message,
    code,
  } as Event
  const { events } = answerWithoutHosts('eventList', { events: [event] })
  expect(events[0]?.message).toBe('Operation x was cancelled. Not undone on its host. Not undone on its host.')
})

/** What a host's failures say, with a path of the host and QEMU's words. */
const inner = 'image /var/lib/nova/compute/q1/images/27af cannot be used: (qemu-img check: ERROR refcount)'
const told: Array<[code: string, message: string, read: string]> = [
  ['DriverFailed', `The hypervisor could not create the disk: ${inner}`, 'The hypervisor could not create the disk.'],
  ['DriverFailed', `The hypervisor could not ${inner}`, 'The hypervisor failed.'],
  ['DriverFailed', 'q1 has run out of luck', 'The hypervisor failed.'],
  [
    'TransferFailed',
    `The instance could not be copied to its new host: ${inner}.`,
    'The instance could not be copied to its new host.',
  ],
  ['GuestCrashed', `The guest of web has crashed: ${inner}.`, 'The guest of web has crashed.'],
  [
    'NoValidHost',
    `No valid host was found: 2 hosts: 1 disabled; on q1 it failed: The hypervisor could not create the disk: ${inner}`,
    'No valid host was found: 2 hosts: 1 disabled; on its host it failed.',
  ],
  [
    'DeadlinePassed',
    `The create did not end within 9 s. It had reached step "disk" (${inner}).`,
    'The create did not end within 9 s. It had reached step "disk".',
  ],
  ['TypeError', `Cannot read ${inner}`, 'The cloud has failed: ask an administrator.'],
  ['FlavorTooSmall', 'Flavor a is too small for image b.', 'Flavor a is too small for image b.'],
]

test.each(told)('of a %s owners read nothing of paths and other programs: %#', (code, message, read) => {
  const fault = { code, message, hint: `See ${inner}.`, at: 0, host: 'q9' }
  const { operations } = answerWithoutHosts('operationList', {
    operations: [{ id: 'x', kind: 'boot', state: 'failed', fault }] as unknown as OperationSummary[],
  })
  expect(operations[0]?.fault).toEqual({
    code,
    message: read,
    at: 0,
    ...(read === message ? { hint: fault.hint } : {}),
  })
  const event = { id: 1, at: 0, type: 'instance.create.error', requestId: 'req-1', message, code } as Event
  expect(answerWithoutHosts('eventList', { events: [event] }).events[0]?.message).toBe(read)
})

test('what a host answers with its own words, owners are not told', () => {
  const relayed = [
    new Failure('DriverFailed', { action: 'read the console', why: inner }),
    new Failure('DatabaseDown', { why: '10.0.0.7:3306: write ECONNRESET' }),
    new RemoteError('TypeError', inner, 'req-1', 'at /usr/lib/nova.cjs'),
  ].map((e) => failureWithoutHosts(e) as Failure)
  expect(relayed.map(({ message }) => message)).toEqual([
    'The hypervisor could not read the console: its host has failed; ask an administrator.',
    'The database cannot be reached: no answer.',
    'The hypervisor could not answer: its host has failed; ask an administrator.',
  ])
})
