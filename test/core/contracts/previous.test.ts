import { describe, expect, test } from 'vitest'
import * as z from 'zod'
import { agent } from '../../../src/core/contracts/agent.ts'
import { compute } from '../../../src/core/contracts/compute.ts'
import { conductor } from '../../../src/core/contracts/conductor.ts'
import { scheduler } from '../../../src/core/contracts/scheduler.ts'
import type { Contract } from '../../../src/core/rpc/contract.ts'
import { firstOf, isNewer } from '../../../src/core/rpc/versions.ts'
import { agent as previousAgent } from './previous/agent.ts'
import { compute as previousCompute } from './previous/compute.ts'
import { conductor as previousConductor } from './previous/conductor.ts'
import { scheduler as previousScheduler } from './previous/scheduler.ts'

type Json = { [key: string]: unknown; properties?: Record<string, Json>; required?: string[] }
const shape = (schema: z.ZodType): Json => z.toJSONSchema(schema, { unrepresentable: 'any', reused: 'inline' }) as Json

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
    const [one, other] = [rest[key], others[key]]
    if (key === 'items') wrong.push(...understood(one as Json, other as Json, `${at}[]`))
    else if (JSON.stringify(one) !== JSON.stringify(other)) wrong.push(`${at}: ${key} is not the same`)
  }
  return wrong
}

/** A set of words that is any text to its readers. */
const isGrowing = ({ anyOf }: Json): boolean =>
  Array.isArray(anyOf) &&
  anyOf.length === 2 &&
  'enum' in anyOf[0] &&
  anyOf[1].type === 'string' &&
  !('enum' in anyOf[1])

/** Fields that came later, and so may be sent only where they are known. */
const older = (schema: z.ZodType): z.ZodType => {
  const { shape: fields } = schema as z.ZodObject
  const kept = Object.entries(fields).filter(([, field]) => (field as z.ZodType).meta()?.since === undefined)
  return z.object(Object.fromEntries(kept))
}

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

const pairs: Array<[string, Contract, Contract]> = [
  ['agent', previousAgent, agent],
  ['compute', previousCompute, compute],
  ['conductor', previousConductor, conductor],
  ['scheduler', previousScheduler, scheduler],
]

describe.each(pairs)('%s, before and today', (_name, before, today) => {
  test('is the same topic and major version', () => {
    expect(today.topic).toBe(before.topic)
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
      wrong.push(...understood(shape(is.args), shape(was.args), `${name} of before`))
      wrong.push(...understood(shape(was.args), shape(older(is.args)), `${name} of today`))
      if (is.kind === 'call' && was.kind === 'call') {
        wrong.push(...understood(shape(was.result), shape(is.result), `the answer of today to ${name}`))
        wrong.push(...understood(shape(is.result), shape(was.result), `the answer of before to ${name}`))
      }
    }
    expect(wrong).toEqual([])
  })

  test('what is more than before says since when', () => {
    const silent = Object.entries(today.methods).flatMap(([name, is]) => {
      const was = before.methods[name]
      if (was === undefined) return is.since === undefined ? [name] : []
      const known = Object.keys((was.args as z.ZodObject).shape)
      return Object.keys((older(is.args) as z.ZodObject).shape).filter((field) => !known.includes(field))
    })
    expect(silent).toEqual([])
  })
})
