import { expect, test } from 'vitest'
import * as z from 'zod'
import { check } from '../../../src/core/rpc/check.ts'

const Form = z.object({
  name: z.string().min(2).max(4),
  own: z.string().max(3, 'three letters').optional(),
  many: z.array(z.int().max(9)).max(2).optional(),
  notes: z.record(z.string().max(50), z.string()).optional(),
})
const refusal = (value: unknown) => {
  try {
    check(Form, value, 'ask')
  } catch (e) {
    return (e as Error).message
  }
  return undefined
}

test('what is allowed is said in words, and a long key is cut', () => {
  expect(refusal({ name: 'abc' })).toBeUndefined()
  expect(refusal({ name: 'abcde' })).toBe('ask: name: at most 4 characters')
  expect(refusal({ name: 'a' })).toBe('ask: name: at least 2 characters')
  expect(refusal({ name: 'abc', own: 'abcd' })).toBe('ask: own: three letters')
  expect(refusal({ name: 'abc', many: [1, 2, 3] })).toBe('ask: many: at most 2 entries')
  expect(refusal({ name: 'abc', many: [10] })).toBe('ask: many.0: at most 9')
  const key = 'k'.repeat(51)
  expect(refusal({ name: 'abc', notes: { [key]: '' } })).toBe(
    `ask: notes.${'k'.repeat(40)}…: a key is wrong: at most 50 characters`,
  )
})
