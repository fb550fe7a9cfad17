import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { broker } from '../../../src/core/contracts/broker.ts'
import { conductor } from '../../../src/core/contracts/conductor.ts'
import { cutFault, Fault, Flavor, Metadata, Name } from '../../../src/core/contracts/shapes.ts'
import { contracts, type Json } from './recorded.ts'

/** What a message may have without end: texts, lists, and records of any keys. */
function boundless(schema: Json, at: string): string[] {
  const { type, properties = {}, items, additionalProperties, propertyNames } = schema
  const found: string[] = []
  const says = (key: string): boolean => schema[key] !== undefined
  const isFixed =
    ['maxLength', 'enum', 'const'].some(says) || schema.format === 'uuid' || /\{\d+\}\$$/.test(`${schema.pattern}`)
  if (type === 'string' && !isFixed) found.push(`${at}: a text`)
  if (type === 'array' && !says('maxItems')) found.push(`${at}: a list`)
  if (items) found.push(...boundless(items, `${at}[]`))
  for (const [name, field] of Object.entries(properties)) found.push(...boundless(field, `${at}.${name}`))
  if (typeof additionalProperties === 'object') {
    const keys = propertyNames as Json
    if (!says('maxProperties') && !keys?.enum) found.push(`${at}: a record`)
    found.push(...boundless(keys, `${at} keys`), ...boundless(additionalProperties as Json, `${at} values`))
  }
  for (const key of ['anyOf', 'oneOf', 'allOf'])
    for (const one of (schema[key] as Json[] | undefined) ?? []) found.push(...boundless(one, at))
  return found
}
const jsonOf = (schema: z.ZodType) =>
  z.toJSONSchema(schema, { unrepresentable: 'any', reused: 'inline', io: 'input' }) as Json

describe('what a message may be', () => {
  test.each([...contracts, broker].map((contract) => [contract.topic, contract.methods] as const))(
    'has an end, in all that is said to %s',
    (_topic, methods) => {
      const found = Object.entries(methods).flatMap(([name, { args }]) => boundless(jsonOf(args), name))
      expect(found).toEqual([])
    },
  )

  test('is noticed if it has none', () => {
    const open = z.object({
      a: z.string(),
      b: z.array(z.string().max(1)),
      c: z.record(z.string().max(1), z.int()).optional(),
    })
    expect(boundless(jsonOf(open), 'x')).toEqual(['x.a: a text', 'x.b: a list', 'x.c: a record'])
  })

  const size = { vcpus: 1, memoryMb: 1, diskGb: 1 }
  const { boot, instanceRename, flavorCreate, imageCreate, instanceShow } = conductor.methods
  test.each([
    ['boot', boot, {}],
    ['rename', instanceRename, { instance: 'x' }],
    ['flavor create', flavorCreate, size],
    ['image create', imageCreate, { files: {} }],
  ])('of %s may not give a name that begins with a hyphen', (_, { args }, rest) => {
    expect(args.safeParse({ ...rest, name: 'a-b' }).success).toBe(true)
    expect(args.safeParse({ ...rest, name: '-b' }).error?.issues).toMatchObject([{ path: ['name'] }])
  })

  test('may still be about what has such a name', () => {
    expect(instanceShow.args.safeParse({ instance: '-x' }).success).toBe(true)
    expect(Flavor.safeParse({ id: '1', name: '-x', ...size, createdAt: 0 }).success).toBe(true)
  })

  test.each(['web', 'web server', 'Ünï-名前', '🚀'])('may be called %j', (name) =>
    expect(Name.safeParse(name).success).toBe(true),
  )

  test.each([
    '',
    ' web',
    'web ',
    'x\u202egnp.exe',
    'a\u200bb',
    'a\u2028b',
    'a\u009b2Jb',
    'a\u0000',
    'bad\ufffd',
    '\ud800',
  ])('may not be called %j', (name) => {
    expect(Name.safeParse(name).success).toBe(false)
    expect(Metadata.safeParse({ [`k${name}k`]: 'v' }).success).toBe(name.trim() !== name || name === '')
  })

  test('has so many keys at most', () => {
    const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'v']))
    expect(Metadata.safeParse(keys(128)).success).toBe(true)
    expect(Metadata.safeParse(keys(129)).error?.message).toContain('at most 128 items')
  })

  test('a fault of any length is cut to what is kept', () => {
    const words = 'x'.repeat(10_000)
    const cut = cutFault({ code: words, message: words, hint: words, at: 1, host: 'h1' })
    expect(Fault.parse(cut)).toMatchObject({ at: 1, host: 'h1' })
    expect(cut.message).toHaveLength(4_000)
    expect(cutFault({ code: 'C', message: 'm', at: 1 })).toEqual({ code: 'C', message: 'm', at: 1 })
  })
})
