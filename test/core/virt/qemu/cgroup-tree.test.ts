import { expect, test } from 'vitest'
import { ownCgroups } from '../../../../src/core/virt/qemu/cgroup-tree.ts'

const text = (...lines: string[]) => lines.map((line) => `${line}\n`).join('')
const proc = '23 28 0:21 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw'

test('a service of systemd on cgroup v2', () => {
  const mounts = text(
    proc,
    '29 22 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot',
  )
  expect(ownCgroups(mounts, '0::/system.slice/nova-compute.service\n')).toEqual({
    v1: {},
    v2: { own: '/sys/fs/cgroup/system.slice/nova-compute.service', top: '/sys/fs/cgroup' },
  })
})

test('the same with ProtectControlGroups=yes, where all of it is read-only', () => {
  const mounts = text(
    '29 22 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw',
    '412 380 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw',
  )
  expect(ownCgroups(mounts, '0::/system.slice/nova-compute.service\n').v2).toEqual({
    why: '/sys/fs/cgroup is mounted read-only',
  })
})

test('separate hierarchies of cgroup v1, and one of v2 without these controllers', () => {
  const mounts = text(
    '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
    '32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu',
    '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
    '39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids',
    '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
    '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw',
  )
  const own = text('9:name=systemd:/', '8:pids:/', '4:memory:/jobs/d27f', '3:cpuset:/', '1:cpu:/', '0::/')
  expect(ownCgroups(mounts, own)).toEqual({
    v1: {
      memory: { own: '/sys/fs/cgroup/memory/jobs/d27f', top: '/sys/fs/cgroup/memory' },
      pids: { own: '/sys/fs/cgroup/pids', top: '/sys/fs/cgroup/pids' },
      cpu: { own: '/sys/fs/cgroup/cpu', top: '/sys/fs/cgroup/cpu' },
    },
    v2: { own: '/sys/fs/cgroup/unified', top: '/sys/fs/cgroup/unified' },
  })
})

test("systemd's hybrid layout: controllers that share a hierarchy, and one that is only a name", () => {
  const mounts = text(
    '30 24 0:27 / /sys/fs/cgroup/unified rw,nosuid,nodev,noexec,relatime shared:10 - cgroup2 cgroup2 rw,nsdelegate',
    '31 24 0:28 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:11 - cgroup cgroup rw,xattr,name=systemd',
    '35 24 0:32 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,cpu,cpuacct',
    '36 24 0:33 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:17 - cgroup cgroup rw,memory',
  )
  const own = text(
    '11:memory:/system.slice/nova.service',
    '7:cpu,cpuacct:/system.slice/nova.service',
    '5:pids:/system.slice/nova.service',
    '1:name=systemd:/system.slice/nova.service',
    '0::/system.slice/nova.service',
  )
  expect(ownCgroups(mounts, own)).toEqual({
    v1: {
      memory: { own: '/sys/fs/cgroup/memory/system.slice/nova.service', top: '/sys/fs/cgroup/memory' },
      cpu: { own: '/sys/fs/cgroup/cpu,cpuacct/system.slice/nova.service', top: '/sys/fs/cgroup/cpu,cpuacct' },
      pids: { why: 'it is not mounted' },
    },
    v2: { own: '/sys/fs/cgroup/unified/system.slice/nova.service', top: '/sys/fs/cgroup/unified' },
  })
})

test('a container with read-only cgroups of v1, mounted from its own cgroup on', () => {
  const mounts = text(
    '710 705 0:33 /docker/4f1c /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:17 - cgroup cgroup rw,memory',
    '711 705 0:34 /docker/4f1c /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime master:18 - cgroup cgroup rw,pids',
  )
  const own = text('11:memory:/docker/4f1c', '5:pids:/docker/4f1c/below', '2:cpu,cpuacct:/docker/4f1c')
  expect(ownCgroups(mounts, own).v1).toEqual({
    memory: { why: '/sys/fs/cgroup/memory is mounted read-only' },
    pids: { own: '/sys/fs/cgroup/pids/below', top: '/sys/fs/cgroup/pids' },
    cpu: { why: 'it is not mounted' },
  })
})

test('a container with a cgroup namespace of its own, and a process that came into it from outside', () => {
  const mounts = '810 805 0:25 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw\n'
  expect(ownCgroups(mounts, '0::/\n').v2).toEqual({ why: '/sys/fs/cgroup is mounted read-only' })
  expect(ownCgroups(mounts.replace(' ro,', ' rw,'), '0::/../other\n').v2).toEqual({
    why: 'the cgroup /../other of this process is outside of what is mounted',
  })
})

test('paths with blanks and colons, and a place that something else is mounted over', () => {
  const line = '29 22 0:25 / /a\\040place rw - cgroup2 cgroup2 rw'
  expect(ownCgroups(`${line}\n`, '0::/a:b c\n').v2).toEqual({ own: '/a place/a:b c', top: '/a place' })
  expect(ownCgroups(text(line, '30 29 0:40 / /a\\040place rw - tmpfs tmpfs rw'), '0::/\n').v2).toEqual({
    why: 'it is not mounted',
  })
})

test('no cgroups at all', () => {
  expect(ownCgroups(`${proc}\n`, '')).toEqual({ v1: {}, v2: undefined })
  expect(ownCgroups('', '')).toEqual({ v1: {}, v2: undefined })
})
