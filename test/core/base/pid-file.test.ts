import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { holdPidFile, livingPid } from '../../../src/core/base/pid-file.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nova-pid-'))
  path = join(folder, 'nova.pid')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

test('one holder at a time; the second is told who', () => {
  const first = holdPidFile(path)
  expect(first).toMatchObject({ held: true })
  expect(holdPidFile(path)).toEqual({ held: false, pid: process.pid })
  expect(livingPid(path)).toBe(process.pid)
  if (first.held) first.release()
  expect(existsSync(path)).toBe(false)
  expect(holdPidFile(path)).toMatchObject({ held: true })
})

test('the file of a process that is gone, or whose number is another process now, holds nobody up', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  await once(child, 'exit')
  writeFileSync(path, `${child.pid} 1\n`)
  expect(livingPid(path)).toBeUndefined()
  writeFileSync(path, `${process.pid} 1\n`)
  expect(livingPid(path)).toBeUndefined()
  expect(holdPidFile(path)).toMatchObject({ held: true })
  expect(readFileSync(path, 'utf8')).toMatch(new RegExp(`^${process.pid} \\d+\n$`))
})

test('garbage in the file, or none, is nobody', () => {
  expect(livingPid(path)).toBeUndefined()
  for (const text of ['', 'x', '1', '-1 1', '99999999 1']) {
    writeFileSync(path, text)
    expect(livingPid(path)).toBeUndefined()
  }
})

/** A process that tries to hold the file at each line that it reads, says whether it does, and lets go at the next. */
const contender = `
import { createInterface } from 'node:readline'
import { holdPidFile } from '${join(import.meta.dirname, '..', '..', '..', 'src', 'core', 'base', 'pid-file.ts')}'
let release
for await (const path of createInterface(process.stdin)) {
  if (path === '') { release?.(); release = undefined; console.log('free'); continue }
  const result = holdPidFile(path)
  if (result.held) release = result.release
  console.log(result.held ? 'held' : String(result.pid))
}`

test('of many processes that find the file of a dead one, one wins, and the others are told which', {
  timeout: 120_000,
}, async () => {
  const children = Array.from({ length: 8 }, () => {
    const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', contender], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    return { child, lines: createInterface(child.stdout)[Symbol.asyncIterator]() }
  })
  const answers = async (line: string) => {
    for (const { child } of children) child.stdin.write(`${line}\n`)
    return Promise.all(children.map(async ({ lines }) => (await lines.next()).value as string))
  }
  await answers('')
  for (let round = 0; round < 60; round++) {
    const file = `${path}-${round}`
    writeFileSync(file, '99999999 1\n')
    const said = await answers(file)
    const winners = children.filter((_, i) => said[i] === 'held')
    expect(winners).toHaveLength(1)
    expect(said.filter((word) => word !== 'held')).toEqual(Array(7).fill(String(winners[0]?.child.pid)))
    expect(livingPid(file)).toBe(winners[0]?.child.pid)
    await answers('')
    expect(existsSync(file)).toBe(false)
  }
  expect(readdirSync(folder)).toEqual([])
  for (const { child } of children) child.kill()
})

test('a process that died while it replaced a file holds nobody up', () => {
  writeFileSync(path, '99999999 1\n')
  const first = holdPidFile(path)
  expect(first.held && readdirSync(folder)).toEqual(['nova.pid'])
  if (first.held) first.release()
  writeFileSync(path, '99999999 1\n')
  const guard = `${path}.${createHash('sha256').update('99999999 1\n').digest('hex').slice(0, 16)}`
  writeFileSync(guard, '99999998 1\n')
  expect(holdPidFile(path)).toMatchObject({ held: true })
  expect(readdirSync(folder)).toEqual(['nova.pid'])
})
