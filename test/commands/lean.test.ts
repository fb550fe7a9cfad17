import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { expect, test } from 'vitest'

const dist = resolve(import.meta.dirname, '../../dist')

/** All files and packages that a built file loads before it runs. */
function loads(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen
  seen.add(file)
  const text = readFileSync(file, 'utf8')
  for (const [, name = ''] of text.matchAll(/(?:^|[;}\n])(?:import|export)(?:[\w*{}\s$,]*from)?"([^"]+)"/g))
    if (name.startsWith('.')) loads(join(dirname(file), name), seen)
    else seen.add(name)
  return seen
}

test.each(['list', 'show', 'pause', 'boot'])('nova %s loads no database, no logger, no hypervisor (I11)', (command) => {
  const loaded = [...loads(join(dist, 'cli/main.js')), ...loads(join(dist, `commands/${command}.js`))]
  expect(loaded.length).toBeGreaterThan(3)
  expect(loaded.filter((name) => /mysql2|@photostructure|pino|ink|react/.test(name))).toEqual([])
  const text = loaded
    .filter((name) => name.startsWith('/'))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n')
  expect(text).not.toContain('SelectQueryBuilder')
  expect(text).not.toContain('qemu-system')
})
