import { spawnSync } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'

const program = resolve(import.meta.dirname, '../../bin/run.js')
/** A user id without an entry in passwd, as containers give. */
const nameless = 42_424

/** Whether this test may be that user, and that user may read the program: not in a home directory of root. */
const canTry =
  process.geteuid?.() === 0 && spawnSync('test', ['-r', program], { uid: nameless, gid: nameless }).status === 0

test.runIf(canTry)('a user without a name and without a home gets answers', () => {
  const stateDir = mkdtempSync(join(tmpdir(), 'nova-nameless-'))
  onTestFinished(() => rmSync(stateDir, { recursive: true }))
  chownSync(stateDir, nameless, nameless)
  const nova = (...args: string[]) => {
    const env = { PATH: process.env.PATH ?? '', NOVA_STATE_DIR: stateDir, NOVA_CONFIG: '/dev/null' }
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
      env,
      uid: nameless,
      gid: nameless,
      cwd: '/',
      encoding: 'utf8',
    })
    return { status, stdout, stderr }
  }
  expect(nova('--version')).toMatchObject({ status: 0, stdout: expect.stringMatching(/^nova \d/), stderr: '' })
  expect(nova('list')).toMatchObject({
    status: 1,
    stderr: expect.stringContaining('no cloud has been started here yet'),
  })
})
