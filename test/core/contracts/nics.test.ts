import { describe, expect, test } from 'vitest'
import { systemIds } from '../../../src/core/base/ids.ts'
import { Nics } from '../../../src/core/contracts/shapes.ts'

describe('the cards of an instance', () => {
  const cards = (count: number, mac = 'fa:16:3e:12:ab:56') => Array.from({ length: count }, () => ({ id, mac }))
  const id = systemIds.uuid()
  const accepts = (nics: unknown) => Nics.safeParse(nics).success

  test('may be none, one or many, but no more than the machine has places for', () => {
    expect([0, 1, 25, 26].map((count) => accepts(cards(count)))).toEqual([true, true, true, false])
  })

  test.each([
    ['too short', 'fa:16:3e:12:ab'],
    ['too long', 'fa:16:3e:12:ab:56:78'],
    ['with other separators', 'fa-16-3e-12-ab-56'],
    ['in capitals', 'FA:16:3E:12:AB:56'],
    ['of a group of cards', '01:00:5e:00:00:01'],
    ['of all cards', 'ff:ff:ff:ff:ff:ff'],
    ['with an option behind it', 'fa:16:3e:12:ab:56,romfile=/etc/passwd'],
    ['with a line behind it', 'fa:16:3e:12:ab:56\n'],
  ])('have no MAC that is %s', (_, mac) => expect(accepts(cards(1, mac))).toBe(false))

  test('have an id each', () => expect(accepts([{ mac: 'fa:16:3e:12:ab:56' }])).toBe(false))
})
