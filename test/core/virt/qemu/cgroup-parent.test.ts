import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { exec } from '../../../../src/core/base/exec.ts'
import { openParent } from '../../../../src/core/virt/qemu/cgroup-parent.ts'
import type { Controller } from '../../../../src/core/virt/qemu/cgroup-tree.ts'
import { entering } from '../../../../src/core/virt/qemu/process.ts'
import { missing } from '../../../kit/missing.ts'

const scratch = mkdtempSync(join(tmpdir(), 'nova-parent-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** A tree as a directory: what a kernel would refuse is not refused. */
function tree(controllers: string, enabled = ''): string {
  const guests = join(scratch, 'nova-guests')
  mkdirSync(guests, { recursive: true })
  writeFileSync(join(scratch, 'cgroup.controllers'), controllers)
  for (const dir of [scratch, guests]) writeFileSync(join(dir, 'cgroup.subtree_control'), enabled)
  return guests
}

const all: Controller[] = ['memory', 'pids', 'cpu']

test('controllers are enabled for all guests and for each, and those that are not there are left out', async () => {
  const dir = tree('cpuset cpu io memory pids\n', 'memory\n')
  expect(await openParent(scratch, all)).toEqual({ dir, controllers: all })
  for (const at of [scratch, dir]) expect(readFileSync(join(at, 'cgroup.subtree_control'), 'utf8')).toBe('+pids +cpu')
  tree('cpu pids')
  expect(await openParent(scratch, all)).toEqual({ dir, controllers: ['pids', 'cpu'] })
  tree('hugetlb')
  await expect(openParent(scratch, all)).rejects.toThrow('has no such controllers')
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
  // In place of the top.
  const top = join(root, `nova-test-${process.pid}`)
  const guests = join(top, 'nova-guests')

  beforeEach(() => {
    const control = join(root, 'cgroup.subtree_control')
    if (!readFileSync(control, 'utf8').split(/\s+/).includes(controller)) {
      writeFileSync(control, `+${controller}`)
      onTestFinished(() => writeFileSync(control, `-${controller}`))
    }
    mkdirSync(top)
    onTestFinished(() => {
      for (const dir of [join(guests, 'one'), guests, top]) if (existsSync(dir)) rmdirSync(dir)
    })
  })

  test('a guest has a cgroup with the controllers, and a daemon that starts finds all as it was', async () => {
    for (const _life of [1, 2])
      expect(await openParent(top, [controller])).toEqual({ dir: guests, controllers: [controller] })
    const one = join(guests, 'one')
    mkdirSync(one)
    expect(readFileSync(join(one, 'cgroup.controllers'), 'utf8').trim()).toBe(controller)
    const { stdout } = await exec(...entering([join(one, 'cgroup.procs')], 'cat', ['/proc/self/cgroup']))
    expect(stdout).toMatch(/^0::.*\/nova-guests\/one$/m)
  })

  test('where there are processes at the top, as in a container, that is told', async () => {
    const [file, words] = entering([join(top, 'cgroup.procs')], 'sh', ['-c', 'echo there; exec sleep 100'])
    const stranger = spawn(file, words, { stdio: ['ignore', 'pipe', 'ignore'] })
    onTestFinished(async () => {
      stranger.kill('SIGKILL')
      await once(stranger, 'exit')
    })
    await once(stranger.stdout, 'data')
    await expect(openParent(top, [controller])).rejects.toThrow(`there are processes in ${top}`)
  })
})
