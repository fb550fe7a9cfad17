import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { failures } from '../src/core/base/errors.ts'
import { optionRows } from '../src/core/config/schema.ts'
import { kindNames, kindOf } from '../src/core/model/operation.ts'

const root = resolve(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  .filter((file) => existsSync(join(root, file)))
const sources = files.filter((file) => /^(src|migrations|tools|bench)\/.*\.(ts|tsx|js)$/.test(file))
const rooms = [
  ...new Set(sources.map((file) => /^src\/(core\/[^/]+|[^/]+)\//.exec(file)?.[1]).filter((room) => room !== undefined)),
]
const tests = files.filter((file) => /^test\/.*\.ts$/.test(file))

describe('the house rules that no linter knows', () => {
  test('a source file fits in one sitting: 400 lines', () => {
    expect(sources.filter((file) => read(file).split('\n').length > 401)).toEqual([])
  })
  test('no file is called after nothing', () => {
    expect([...sources, ...tests].filter((file) => /(^|\/)(utils?|helpers?|common|misc|types)[./]/.test(file))).toEqual(
      [],
    )
  })
  test('every room has a row in ARCHITECTURE.md', () => {
    const map = read('ARCHITECTURE.md')
    expect(rooms.filter((room) => !map.includes(`\`${room}\``))).toEqual([])
  })
  test('every room has a floor in .dependency-cruiser.mjs', () => {
    const rules = read('.dependency-cruiser.mjs')
    expect(rooms.filter((room) => !new RegExp(`^ {2}'?${room}'?: `, 'm').test(rules))).toEqual([])
  })
  test('every relative link in a document leads somewhere', () => {
    const dead = files
      .filter((file) => file.endsWith('.md'))
      .flatMap((file) =>
        [...read(file).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
          .map((match) => match[1] ?? '')
          .filter((link) => !existsSync(join(root, dirname(file), link)))
          .map((link) => `${file}: ${link}`),
      )
    expect(dead).toEqual([])
  })
  test('every failure code is used somewhere and stands in docs/errors.md', () => {
    const page = read('docs/errors.md')
    const text = sources
      .filter((file) => !file.endsWith('base/errors.ts'))
      .map(read)
      .join('\n')
    const codes = Object.keys(failures)
    expect(codes.filter((code) => !page.includes(`\`${code}\``))).toEqual([])
    expect(codes.filter((code) => !text.includes(`'${code}'`))).toEqual([])
  })
  test('every option stands in docs/config.md', () => {
    const page = read('docs/config.md')
    expect(optionRows().filter((row) => !page.includes(`\`${row.key}\``))).toEqual([])
  })
  test('what is special about a kind of operation stands in its row, and nowhere as a comparison', () => {
    const names = kindNames.join('|')
    const steps = kindNames.flatMap((kind) => kindOf(kind).steps.map(({ name }) => name)).join('|')
    const compared = new RegExp(`\\bkind [!=]== '(${names})'|\\bstep [!=]== '(${steps})'`)
    const engine = sources.filter((file) => file.startsWith('src/') && !file.startsWith('src/core/model/'))
    expect(engine.filter((file) => compared.test(read(file)))).toEqual([])
  })
  test('no source promises instead of doing, and no test is switched off', () => {
    expect(sources.filter((file) => /\b(TODO|FIXME|XXX)\b/.test(read(file)))).toEqual([])
    expect(
      tests.filter(
        (file) => file !== 'test/tidy.test.ts' && /\b(it|test|describe)\.(skip|only|todo)\(/.test(read(file)),
      ),
    ).toEqual([])
  })
  test('no module of ours is replaced in a test', () => {
    expect(tests.filter((file) => file !== 'test/tidy.test.ts' && /\bvi\.mock\(/.test(read(file)))).toEqual([])
  })
  test('time, chance and the environment come in by one door', () => {
    const outside = sources.filter((file) => file.startsWith('src/') && !file.startsWith('src/core/base/'))
    expect(outside.filter((file) => /\bDate\.now\(|\bMath\.random\(|\brandomUUID\(/.test(read(file)))).toEqual([])
    expect(
      outside.filter((file) => !file.startsWith('src/core/config/') && /\bprocess\.env\b/.test(read(file))),
    ).toEqual([])
  })
  test('every dependency is named with its reason', () => {
    const manifest = JSON.parse(read('package.json'))
    const page = read('docs/dependencies.md')
    const names = [...Object.keys(manifest.dependencies), ...Object.keys(manifest.devDependencies)]
    expect(names.filter((name) => !page.includes(`\`${name}\``))).toEqual([])
  })
})
