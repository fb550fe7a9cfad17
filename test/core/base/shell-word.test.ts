import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { shellWord } from '../../../src/core/base/shell-word.ts'

test('what a shell reads of it is the same text, and a plain path needs no quotes', () => {
  expect(shellWord('/var/lib/nova/images')).toBe('/var/lib/nova/images')
  for (const text of ["/tmp/it's a & b?/$(id)", '', '~', '#x', 'a\nb', '/tmp/ü'])
    expect(execFileSync('sh', ['-c', `printf %s ${shellWord(text)}`], { encoding: 'utf8' })).toBe(text)
})
