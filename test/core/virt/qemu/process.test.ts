import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { systemIds } from '../../../../src/core/base/ids.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'
import { findMachine, findMachines, isMachine } from '../../../../src/core/virt/qemu/process.ts'

/** Nobody, on every Linux. */
const nobody = 65_534

/** A program with the arguments of a guest's machine, of this user or of another. */
async function pretend(uid?: number): Promise<{ stateDir: string; id: string; pid: number }> {
  const stateDir = mkdtempSync(join(tmpdir(), 'nova-machines-'))
  const id = systemIds.uuid()
  const paths = guestPaths(stateDir, id)
  const as = uid === undefined ? {} : { uid }
  const child: ChildProcess = spawn('sh', ['-c', 'read line', 'x', '-pidfile', paths.pid], { ...as, stdio: 'pipe' })
  await once(child, 'spawn')
  onTestFinished(() => {
    child.kill('SIGKILL')
    rmSync(stateDir, { recursive: true })
  })
  mkdirSync(paths.dir, { recursive: true })
  writeFileSync(paths.pid, `${child.pid}\n`)
  return { stateDir, id, pid: child.pid as number }
}

test('a process of this user with the arguments of a guest is its machine', async () => {
  const { stateDir, id, pid } = await pretend()
  expect(await findMachine(stateDir, id)).toBe(pid)
  expect(await findMachines(stateDir)).toEqual(new Map([[id, pid]]))
})

test.runIf(process.geteuid?.() === 0)("another user's is not, and is never killed in its place", async () => {
  const { stateDir, id, pid } = await pretend(nobody)
  expect(await isMachine(pid, guestPaths(stateDir, id))).toBe(false)
  expect(await findMachine(stateDir, id)).toBeUndefined()
  expect(await findMachines(stateDir)).toEqual(new Map())
})
