import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { checkOwned, ownDirectory } from '../../../src/core/base/own-directory.ts'

let scratch: string
beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'nova-own-'))
})
afterEach(() => rmSync(scratch, { recursive: true }))

test('a directory is made for this user alone, and taken again', () => {
  const path = join(scratch, 'a', 'b')
  ownDirectory(path, 'state_dir')
  ownDirectory(path, 'state_dir')
  expect(statSync(path).mode & 0o777).toBe(0o700)
})

test.each([0o777, 0o770, 0o702])('one with mode %o is refused, and left as it is', (mode) => {
  const path = join(scratch, 'open')
  mkdirSync(path)
  chmodSync(path, mode)
  expect(() => ownDirectory(path, 'state_dir')).toThrow(
    expect.objectContaining({ code: 'ConfigInvalid', message: expect.stringMatching(/state_dir.*chmod go-w/) }),
  )
  expect(statSync(path).mode & 0o777).toBe(mode)
})

test.runIf(process.geteuid?.() === 0)("another user's is refused", () => {
  chownSync(scratch, 65_534, 65_534)
  expect(() => checkOwned(scratch, 'state_dir')).toThrow(/another user \(uid 65534\)/)
})
