import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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
