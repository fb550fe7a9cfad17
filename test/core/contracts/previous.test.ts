import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { since } from '../../../src/core/rpc/contract.ts'
import { firstOf, isNewer } from '../../../src/core/rpc/versions.ts'
import { contracts, type Json, keptBy, previous, type Recorded, shape } from './recorded.ts'

/**
 * What is said in `written` is understood by who knows `read`: all that the reader wants is there and of the same kind, to
 * the last word of each set; the reader passes over what is more.
 */
function understood(read: Json, written: Json, at: string): string[] {
  if (isGrowing(read) || isGrowing(written)) return []
  const wrong: string[] = []
  const { properties = {}, required = [], ...rest } = read
  const { properties: there = {}, required: sure = [], ...others } = written
  for (const name of required) if (!sure.includes(name)) wrong.push(`${at}.${name} may be missing`)
  for (const [name, field] of Object.entries(properties)) {
    const other = there[name]
    if (other !== undefined) wrong.push(...understood(field, other, `${at}.${name}`))
  }
  for (const key of new Set([...Object.keys(rest), ...Object.keys(others)])) {
    // How much may be said: more than anybody says who means well.
    if (['maxLength', 'maxItems', 'maxProperties'].includes(key)) continue
    const [one, other] = [rest[key], others[key]]
    if (key === 'items') wrong.push(...understood(one as Json, other as Json, `${at}[]`))
    else if (key === 'oneOf' && one && other) wrong.push(...understoodKinds(one as Json[], other as Json[], at))
    else if (JSON.stringify(one) !== JSON.stringify(other)) wrong.push(`${at}: ${key} is not the same`)
  }
  return wrong
}

/** The same of a union over `kind`: the reader knows each kind that may be written. */
const understoodKinds = (read: readonly Json[], written: readonly Json[], at: string): string[] =>
  written.flatMap((one) => {
    const same = read.find((other) => kindOf(other) === kindOf(one))
    return same ? understood(same, one, `${at}<${kindOf(one)}>`) : [`${at}: nobody knows the kind ${kindOf(one)}`]
  })

const kindOf = ({ properties }: Json): unknown => properties?.kind?.const

/** What `is` has and `was` has not: fields at any depth, and kinds. */
function more(was: Json, is: Json, at: string): string[] {
  const fields = Object.entries(is.properties ?? {}).flatMap(([name, field]) => {
    const before = was.properties?.[name]
    return before === undefined ? [`${at}.${name}`] : more(before, field, `${at}.${name}`)
  })
  const kinds = (is.oneOf ?? []).flatMap((one) => {
    const before = was.oneOf?.find((other) => kindOf(other) === kindOf(one))
    return before === undefined ? [`${at}<${kindOf(one)}>`] : more(before, one, `${at}<${kindOf(one)}>`)
  })
  return [...fields, ...kinds, ...(is.items && was.items ? more(was.items, is.items, `${at}[]`) : [])]
}

/** A set of words that is any text to its readers. */
const isGrowing = ({ anyOf }: Json): boolean =>
  Array.isArray(anyOf) &&
  anyOf.length === 2 &&
  'enum' in anyOf[0] &&
  anyOf[1].type === 'string' &&
  !('enum' in anyOf[1])

test('another word in a set, a field that is gone and one that is demanded are noticed', () => {
  const was = z.object({ state: z.enum(['up', 'down']), at: z.int().optional() })
  const more = z.object({ state: z.enum(['up', 'degraded', 'down']), at: z.int().optional() })
  expect(understood(shape(was), shape(more), 'x')).toEqual(['x.state: enum is not the same'])
  expect(understood(shape(was), shape(z.object({ at: z.int().optional() })), 'x')).toEqual(['x.state may be missing'])
  expect(understood(shape(was.extend({ who: z.string() })), shape(was), 'x')).toEqual(['x.who may be missing'])
  expect(understood(shape(was), shape(was.extend({ at: z.int().min(1).optional() })), 'x')).toEqual([
    'x.at: minimum is not the same',
  ])
})

test('what came later is left out of a record, at any depth, and a reader of then passes over it', () => {
  const args = z.object({
    id: z.string(),
    soft: since('2.1', z.boolean()),
    held: z.array(z.object({ id: z.string(), done: since('2.2', z.int()) })),
  })
  const kinds = z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('stop'), hard: since('2.1', z.boolean()) }).meta({ since: '2.0' }),
    z.object({ kind: z.literal('move') }).meta({ since: '2.1' }),
  ])
  expect(more(shape(args, '2.0'), shape(args), 'x')).toEqual(['x.soft', 'x.held[].done'])
  expect(more(shape(args, '2.1'), shape(args), 'x')).toEqual(['x.held[].done'])
  expect(more(shape(kinds, '2.0'), shape(kinds), 'x')).toEqual(['x<stop>.hard', 'x<move>'])
  expect(understood(shape(kinds, '2.0'), shape(kinds), 'x')).toEqual(['x: nobody knows the kind move'])
  const said = { id: 'a', soft: true, held: [{ id: 'b', done: 1 }] }
  expect(keptBy(shape(args, '2.1'), said)).toEqual({ id: 'a', soft: true, held: [{ id: 'b' }] })
  expect(keptBy(shape(kinds, '2.0'), { kind: 'stop', hard: true })).toEqual({ kind: 'stop' })
})

describe.each(contracts.map((contract) => [contract.topic, contract] as const))(
  '%s, before and today',
  (topic, today) => {
    const before = previous(topic) as Recorded

    test('is the same topic and major version', () => {
      expect(before.topic).toBe(topic)
      expect(firstOf(today.version)).toBe(firstOf(before.version))
      expect(isNewer(before.version, today.version)).toBe(false)
    })

    test('each method of before is there, and either side understands the other', () => {
      const wrong: string[] = []
      for (const [name, was] of Object.entries(before.methods)) {
        const is = today.methods[name]
        if (is === undefined || is.kind !== was.kind) {
          wrong.push(`${name} is gone`)
          continue
        }
        wrong.push(...understood(shape(is.args), was.args, `${name} of before`))
        wrong.push(...understood(was.args, shape(is.args, before.version), `${name} of today`))
        if (is.kind === 'call' && was.result) {
          wrong.push(...understood(was.result, shape(is.result), `the answer of today to ${name}`))
          wrong.push(...understood(shape(is.result), was.result, `the answer of before to ${name}`))
        }
      }
      expect(wrong).toEqual([])
    })

    test('what is more than before says since when', () => {
      const first = firstOf(today.version)
      const silent = Object.entries(today.methods).flatMap(([name, { since = first, args }]) => {
        const was = before.methods[name]
        if (was === undefined) return isNewer(since, before.version) ? [] : [name]
        return more(was.args, shape(args, before.version), name)
      })
      expect(silent).toEqual([])
    })
  },
)
