import { describe, expect, test } from 'vitest'
import { lastLines } from '../../../src/core/virt/console.ts'

describe('the last lines of a text', () => {
  const cases: Array<[string, number | undefined, string]> = [
    ['a\nb\nc\n', 2, 'b\nc\n'],
    ['a\nb\nc', 2, 'b\nc'],
    ['a\nb\nc\n', 3, 'a\nb\nc\n'],
    ['a\nb\nc\n', 4, 'a\nb\nc\n'],
    ['\nb\n', 1, 'b\n'],
    ['\n\n', 1, '\n'],
    ['a\nb\n', 0, ''],
    ['a\nb\n', undefined, 'a\nb\n'],
    ['', 5, ''],
    ['\n', 3, '\n'],
  ]
  test.each(cases)('%j, %s of them: %j', (text, lines, expected) => expect(lastLines(text, lines)).toBe(expected))
})
