import { execFileSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../..')
let copy: string
beforeEach(() => {
  copy = mkdtempSync(join(tmpdir(), 'nv-'))
  for (const name of ['bin', 'dist', 'package.json', 'oclif.manifest.json'])
    cpSync(join(root, name), join(copy, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
})
afterEach(() => rmSync(copy, { recursive: true }))

const version = () => execFileSync(process.execPath, [join(copy, 'bin/run.js'), '--version'], { encoding: 'utf8' })
const caches = () => readdirSync(join(copy, 'dist')).filter((name) => name.endsWith('.cache'))

test('compiled code is kept by the first command of the owner, in place of that of another folder', () => {
  const [foreign] = caches()
  expect(foreign).toBeDefined()
  expect(version()).toMatch(/^nova /)
  const [own, ...more] = caches()
  expect(more).toEqual([])
  expect(own).not.toBe(foreign)
  const written = readFileSync(join(copy, 'dist', own!))
  expect(version()).toMatch(/^nova /)
  expect(caches()).toEqual([own])
  expect(readFileSync(join(copy, 'dist', own!)).equals(written)).toBe(true)
})

test('what runs is the bundle as it is now, though V8 takes compiled code of any source of that length', () => {
  version()
  const bundle = join(copy, 'dist/nova.cjs')
  const [before] = caches()
  const text = readFileSync(bundle, 'latin1')
  const changed = text.replace('return writeOut(`nova $', 'return writeOut(`NOVA $')
  expect(changed).not.toBe(text)
  // Another bundle of the same length, as an editor leaves it: a new file under the old name.
  writeFileSync(`${bundle}.new`, changed, 'latin1')
  renameSync(`${bundle}.new`, bundle)
  expect(version()).toMatch(/^NOVA /)
  expect(caches()).not.toContain(before)
})

test('the package holds no compiled code', () => {
  const listed = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: root,
    encoding: 'utf8',
  })
  const [{ files }] = JSON.parse(listed) as [{ files: Array<{ path: string }> }]
  const names = files.map(({ path }) => path)
  expect(names).toContain('dist/nova.cjs')
  expect(names.filter((name) => name.endsWith('.cache'))).toEqual([])
})
