import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { widthOf } from '../../src/cli/text-width.ts'
import { instanceColumns, layOut } from '../../src/tui/columns.ts'
import { atTop, move, settle } from '../../src/tui/cursor.ts'
import { bar, cell, clipped, painter, unpainted, wrap } from '../../src/tui/paint.ts'

describe('what is drawn keeps to its columns', () => {
  test('a cell is as wide as it was told to be, whatever stands in it', () => {
    const graphemes = fc.string({ unit: 'grapheme' })
    void fc.assert(
      fc.property(graphemes, fc.integer({ min: 1, max: 40 }), (text, width) => {
        expect(widthOf(cell(text, width))).toBe(width)
      }),
    )
  })
  test('what was cut says so, and wide letters are not cut in two', () => {
    expect(cell('a-long-name', 6)).toBe('a-lon~')
    expect(cell('名前の長い', 6)).toBe('名前~ ')
    expect(cell('a\nb\u001b[2J', 20)).toBe('a\\nb\\x1b[2J         ')
    expect(cell('7', 3, 'right')).toBe('  7')
  })
  test('lines are broken at blanks, and words that are longer than a line anywhere', () => {
    expect(wrap('no host can take it', 8)).toEqual(['no host', 'can take', 'it'])
    expect(wrap('abcdefghij', 5).every((line) => widthOf(line) <= 5)).toBe(true)
  })
  test('a bar has its share, and is full at more than all', () => {
    expect(bar(5, 10, 12, unpainted)).toBe('[|||||  50%]')
    expect(bar(30, 10, 12, unpainted)).toBe('[||||||300%]')
    expect(bar(0, 0, 12, unpainted)).toBe('[        0%]')
  })
  test('a painted line that fits stays painted, one that does not is cut', () => {
    const red = painter(true)('bad', 'down')
    expect(clipped(red, 4)).toBe(red)
    expect(clipped(red, 3)).toBe('do~')
  })
  test.each([80, 100, 120, 160, 250])('the columns of a table fill %d columns exactly', (width) => {
    const laid = layOut(instanceColumns, width)
    expect(laid.reduce((sum, { is }) => sum + is + 1, -1)).toBe(width)
  })
})

describe('the cursor', () => {
  const idOf = (row: string) => row
  test('stays on its row when others come above it, and at its place when its row goes', () => {
    const on = move(settle(atTop, ['a', 'b', 'c'], idOf, 10), ['a', 'b', 'c'], idOf, 1)
    expect(settle(on, ['x', 'a', 'b', 'c'], idOf, 10)).toMatchObject({ id: 'b', at: 2 })
    expect(settle(on, ['a', 'c'], idOf, 10)).toMatchObject({ id: 'c', at: 1 })
    expect(settle(on, ['a'], idOf, 10)).toMatchObject({ id: 'a', at: 0 })
  })
  test('is always seen', () => {
    const rows = Array.from({ length: 100 }, (_, i) => `row-${i}`)
    void fc.assert(
      fc.property(fc.array(fc.integer({ min: -30, max: 30 })), fc.integer({ min: 1, max: 20 }), (moves, height) => {
        let cursor = settle(atTop, rows, idOf, height)
        for (const by of moves) {
          cursor = settle(move(cursor, rows, idOf, by), rows, idOf, height)
          expect(cursor.at).toBeGreaterThanOrEqual(cursor.first)
          expect(cursor.at).toBeLessThan(cursor.first + height)
          expect(cursor.first).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})
