import { describe, expect, test } from 'vitest'
import { allow, permits, type Rule, ruleOfKind, ruleOfMessage } from '../../../src/core/auth/policy.ts'
import { broker } from '../../../src/core/contracts/broker.ts'
import { conductor } from '../../../src/core/contracts/conductor.ts'
import type { Context } from '../../../src/core/model/context.ts'
import { kindNames } from '../../../src/core/model/operation.ts'
import type { Api } from '../../../src/core/rpc/contract.ts'
import { permittedKeeper } from '../../../src/daemons/broker.ts'

const caller = (roles: string[], isAdmin = false): Context => ({
  requestId: 'req-1',
  userId: 'ada',
  projectId: 'red',
  roles,
  isAdmin,
})
const [nobody, reader, member, admin] = [caller([]), caller(['reader']), caller(['member']), caller(['admin'], true)]
const own = { projectId: 'red', what: 'Instance "web"' }
const other = { projectId: 'blue', what: 'Instance "web"' }

/** Who may, from the left: nobody, reader, member, admin; of the own project and of another. */
const table: Array<[Rule, string, string]> = [
  ['nova:ping', 'yyyy', 'yyyy'],
  ['os_compute_api:servers:index', 'nyyy', 'nyyy'],
  ['os_compute_api:servers:show', 'nyyy', 'nnny'],
  ['os_compute_api:servers:create', 'nnyy', 'nnyy'],
  ['os_compute_api:os-pause-server:pause', 'nnyy', 'nnny'],
  ['os_compute_api:os-hypervisors:list', 'nnny', 'nnny'],
]
test.each(table)('%s', (rule, ofOwn, ofOther) => {
  const who = [nobody, reader, member, admin]
  const said = (target: typeof own) => who.map((ctx) => (permits(ctx, rule, target) ? 'y' : 'n')).join('')
  expect([said(own), said(other)]).toEqual([ofOwn, ofOther])
})

describe('a refusal is one plain sentence', () => {
  test.each([
    [member, 'os_compute_api:os-hypervisors:list', undefined, 'Only administrators may see the hosts.'],
    [reader, 'os_compute_api:servers:create', undefined, 'Only members and administrators may boot instances.'],
    [nobody, 'get_images', undefined, 'Only readers, members and administrators may list images.'],
    [
      member,
      'delete_image',
      { projectId: 'blue', what: 'Image "tiny"' },
      'Image "tiny" belongs to another project: only administrators may delete images of other projects.',
    ],
  ] as const)('%o %s', (ctx, rule, target, text) => {
    expect(() => allow(ctx, rule, target)).toThrow(expect.objectContaining({ code: 'Forbidden', message: text }))
  })
})

test('a role that says admin is none: the bus says who is an administrator', () => {
  expect(permits(caller(['admin']), 'os_compute_api:servers:index')).toBe(false)
})

test('every message and every kind of operation has a rule, and begin goes by its kind', () => {
  for (const method of Object.keys(conductor.methods) as Array<keyof typeof conductor.methods>)
    expect(() => permits(admin, ruleOfMessage(method, { kind: 'stop' }))).not.toThrow()
  for (const kind of kindNames) expect(ruleOfMessage('begin', { kind })).toBe(ruleOfKind(kind))
})

test('whoever keeps the broker asks nothing of it for a caller who is no administrator', async () => {
  const asked: string[] = []
  const api = permittedKeeper(
    Object.fromEntries(
      Object.keys(broker.methods).map((method) => [method, async () => asked.push(method)]),
    ) as unknown as Api<typeof broker>,
  )
  const calls = Object.values(api) as Array<(ctx: Context, args: unknown) => Promise<unknown>>
  expect(calls).toHaveLength(Object.keys(broker.methods).length)
  for (const ctx of [nobody, reader, member])
    for (const call of calls) await expect(call(ctx, {})).rejects.toMatchObject({ code: 'Forbidden' })
  expect(asked).toEqual([])
  for (const call of calls) await call(admin, {})
  expect(asked).toEqual(Object.keys(broker.methods))
})
