import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { openParent, type Processes } from '../../../../src/core/virt/qemu/cgroup-leaf.ts'
import type { Controller } from '../../../../src/core/virt/qemu/cgroup-tree.ts'
import { processes } from '../../../../src/core/virt/qemu/process.ts'
import { missing } from '../../../kit/missing.ts'

const scratch = mkdtempSync(join(tmpdir(), 'nova-leaf-'))
afterEach(() => rmSync(scratch, { recursive: true, force: true }))

/** A tree as a directory: what a kernel would refuse is not refused. */
function tree(controllers: string, enabled = ''): string {
  const dir = join(scratch, 'unit')
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, 'cgroup.controllers'), controllers)
  writeFileSync(join(dir, 'cgroup.subtree_control'), enabled)
  return dir
}

const all: Controller[] = ['memory', 'pids', 'cpu']
const nobody: Processes = {
  self: 1,
  parentOf: async () => undefined,
  argumentsOf: async () => [],
  left: async () => [],
}

test('controllers that were delegated are enabled for children, and others told apart', async () => {
  const dir = tree('cpuset cpu io memory pids\n')
  expect(await openParent(dir, all, nobody)).toEqual({ dir, controllers: all })
  expect(readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8')).toBe('+memory +pids +cpu')
  expect(await openParent(tree('cpu pids'), all, nobody)).toEqual({ dir, controllers: ['pids', 'cpu'] })
  await expect(openParent(tree('hugetlb'), all, nobody)).rejects.toThrow('has none of memory, pids, cpu')
})

test('a daemon that is in the leaf, as after a restart by its supervisor, uses the same parent', async () => {
  const dir = tree('memory pids cpu', 'cpu memory pids\n')
  expect((await openParent(join(dir, 'nova-daemon'), all, nobody)).dir).toBe(dir)
  expect(readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8')).toBe('cpu memory pids\n')
})

/** Where cgroup v2 is, and a controller that it has: the rule against processes in a parent holds for any of them. */
function unified(): { dir: string; controller: Controller } | undefined {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((one) => / rw[ ,].*- cgroup2 /.test(one))
  const dir = line?.split(' ')[4]
  if (dir === undefined || process.geteuid?.() !== 0) return undefined
  const enabled = readFileSync(join(dir, 'cgroup.subtree_control'), 'utf8').trim()
  const [controller] = (enabled || readFileSync(join(dir, 'cgroup.controllers'), 'utf8')).trim().split(' ')
  return controller ? { dir, controller: controller as Controller } : undefined
}

const there = unified()
if (!there) missing('cgroups', 'no cgroup v2 with a controller that this user may write to')

describe.runIf(there)('on a real hierarchy of cgroup v2', () => {
  const { dir: root, controller } = there ?? { dir: '', controller: 'pids' }
  const parent = join(root, `nova-test-${process.pid}`)
  const procs = (dir: string) => readFileSync(join(dir, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number)

  beforeEach(() => {
    const control = join(root, 'cgroup.subtree_control')
    const before = readFileSync(control, 'utf8').split(/\s+/)
    if (!before.includes(controller)) {
      writeFileSync(control, `+${controller}`)
      onTestFinished(() => writeFileSync(control, `-${controller}`))
    }
    mkdirSync(parent)
    onTestFinished(() => {
      for (const dir of [join(parent, 'nova-daemon'), parent]) if (existsSync(dir)) rmdirSync(dir)
    })
  })

  /** A program in the cgroup that stands for a daemon, with a child. */
  async function daemon(): Promise<{ pid: number; child: number }> {
    const script = 'echo $$ >"$1"; sleep 100 & echo $!; wait'
    const shell = spawn('sh', ['-c', script, 'sh', join(parent, 'cgroup.procs')], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [line] = (await once(shell.stdout, 'data')) as [Buffer]
    const child = Number(line)
    onTestFinished(async () => {
      process.kill(child, 'SIGKILL')
      await once(shell, 'exit')
    })
    return { pid: shell.pid as number, child }
  }

  const as = (self: number): Processes => ({ ...processes(scratch), self, left: async () => [] })

  test('a daemon moves to a leaf with what it has started, and children get their controllers', async () => {
    const { pid, child } = await daemon()
    expect(await openParent(parent, [controller], as(pid))).toEqual({ dir: parent, controllers: [controller] })
    expect(procs(parent)).toEqual([])
    expect(procs(join(parent, 'nova-daemon')).sort()).toEqual([pid, child].sort())
    expect(readFileSync(join(parent, 'cgroup.subtree_control'), 'utf8').trim()).toBe(controller)
  })

  test('what an earlier life has left is moved, too; a program of somebody else is not, and nothing is', async () => {
    const [{ pid, child }, other] = [await daemon(), await daemon()]
    await expect(openParent(parent, [controller], as(pid))).rejects.toThrow(
      /process \d+, which nova did not start, is in .*: start nova as a service of its own/,
    )
    expect(procs(parent).sort()).toEqual([pid, child, other.pid, other.child].sort())
    const left = async () => [other.pid]
    await openParent(parent, [controller], { ...as(pid), left })
    expect(procs(parent)).toEqual([])
  })

  test('a supervisor is moved with the process that it supervises', async () => {
    const { pid, child } = await daemon()
    const told: Record<number, string[]> = {
      [pid]: ['node', 'supervisor.js', 'nova.pid', 'run.js', 'up', ''],
      [child]: ['node', 'run.js', 'up', ''],
    }
    const argumentsOf = async (of: number) => told[of] ?? []
    await openParent(parent, [controller], { ...as(child), argumentsOf })
    expect(procs(join(parent, 'nova-daemon')).sort()).toEqual([pid, child].sort())
  })
})
