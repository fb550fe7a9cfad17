import { describe, expect, test } from 'vitest'
import { type MachineSpec, qemuArguments } from '../../../../src/core/virt/qemu/arguments.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'

const id = '6f70656e-7374-4163-8b00-6e6f76612121'
const disk = { path: '/images/d', format: 'qcow2' as const }
const spec = (change: Partial<MachineSpec> = {}): MachineSpec => ({
  guest: {
    id,
    name: 'web',
    size: { vcpus: 2, memoryMb: 512, diskGb: 1 },
    metadata: {},
    userData: undefined,
    publicKey: undefined,
    generation: 1,
  },
  image: { disk, kernel: undefined, ramdisk: undefined },
  hasDisk: true,
  accelerator: 'kvm',
  paths: guestPaths('/state', id),
  memory: undefined,
  ...change,
})

/** Each option with its value on one line, as one would read them. */
const lines = (change?: Partial<MachineSpec>): string[] =>
  qemuArguments(spec(change))
    .join('\n')
    .split(/\n(?=-)/)
    .map((line) => line.replace('\n', ' '))

const added = (change: Partial<MachineSpec>) => lines(change).filter((line) => !lines().includes(line))
const dropped = (change: Partial<MachineSpec>) => lines().filter((line) => !lines(change).includes(line))

test('a guest with a disk, on KVM', () => {
  expect(lines()).toEqual([
    '-name guest=web',
    `-uuid ${id}`,
    `-pidfile /state/instances/${id}/qemu.pid`,
    '-no-user-config',
    '-nodefaults',
    '-display none',
    '-machine q35',
    '-accel kvm',
    '-cpu host',
    '-smp 2',
    '-m 512',
    '-rtc base=utc',
    '-global ICH9-LPC.disable_s3=1',
    '-global ICH9-LPC.disable_s4=1',
    '-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    '-msg timestamp=on',
    '-chardev socket,id=qmp0,path=qmp.sock,server=on,wait=off',
    '-mon chardev=qmp0,mode=control',
    `-chardev socket,id=serial0,path=serial.sock,server=on,wait=off,logfile=/state/instances/${id}/console.log,logappend=on`,
    '-serial chardev:serial0',
    `-blockdev {"node-name":"root","driver":"qcow2","discard":"unmap","file":{"driver":"file","filename":"/state/instances/${id}/disk.qcow2"}}`,
    '-device virtio-blk-pci,id=root-disk,drive=root,serial=root,bootindex=0',
    `-blockdev {"node-name":"config","driver":"raw","read-only":true,"file":{"driver":"file","filename":"/state/instances/${id}/config.iso"}}`,
    '-device virtio-blk-pci,id=config-disk,drive=config,serial=config',
    '-netdev user,id=net0,restrict=on',
    '-device virtio-net-pci,id=net0-card,netdev=net0,mac=52:54:00:83:34:77,romfile=',
    '-object rng-random,id=rng0,filename=/dev/urandom',
    '-device virtio-rng-pci,rng=rng0',
    '-device pvpanic-pci',
    '-device pcie-root-port,id=spare0,chassis=1,slot=1',
    '-device pcie-root-port,id=spare1,chassis=2,slot=2',
    '-device pcie-root-port,id=spare2,chassis=3,slot=3',
    '-device pcie-root-port,id=spare3,chassis=4,slot=4',
  ])
})

test('the same without KVM', () => {
  expect(added({ accelerator: 'tcg' })).toEqual(['-accel tcg,thread=multi,tb-size=32', '-cpu max'])
})

describe('how it starts', () => {
  const files = { disk: undefined, kernel: '/images/k', ramdisk: '/images/r' }
  const kernel = (image: MachineSpec['image'], hasDisk: boolean) =>
    added({ image, hasDisk })
      .filter((line) => !line.startsWith('-device'))
      .join(' ')

  test('wholly in RAM from kernel and ramdisk', () => {
    expect(kernel(files, false)).toBe('-kernel /images/k -initrd /images/r -append console=ttyS0')
    expect(dropped({ image: files, hasDisk: false })).toEqual([
      expect.stringContaining('"node-name":"root"'),
      expect.stringContaining('drive=root'),
    ])
  })
  test('in RAM with an empty disk beside it', () => {
    expect(kernel(files, true)).toBe('-kernel /images/k -initrd /images/r -append console=ttyS0')
    expect(added({ image: files })).toContain('-device virtio-blk-pci,id=root-disk,drive=root,serial=root')
  })
  test('from kernel, ramdisk and a root disk', () =>
    expect(kernel({ ...files, disk }, true)).toBe(
      '-kernel /images/k -initrd /images/r -append console=ttyS0 root=/dev/vda',
    ))
  test('from a kernel and a root disk', () =>
    expect(kernel({ ...files, disk, ramdisk: undefined }, true)).toBe(
      '-kernel /images/k -append console=ttyS0 root=/dev/vda rw',
    ))
  test('without the check of the timer where the timer is emulated', () =>
    expect(added({ accelerator: 'tcg', image: files })).toContain('-append console=ttyS0 no_timer_check'))
  test('from its saved memory, on the kind of machine that saved it', () => {
    const change = { memory: { fd: 3, machineType: 'pc-q35-7.2' } }
    expect(added(change)).toEqual(['-machine pc-q35-7.2', '-incoming fd:3'])
    expect(dropped(change)).toEqual(['-machine q35'])
  })
})

test('a comma in a name or a path does not become another option', () => {
  const guest = { ...spec().guest, name: 'a,debug-threads=on' }
  const all = lines({ guest, paths: guestPaths('/a,b', id) })
  expect(all[0]).toBe('-name guest=a,,debug-threads=on')
  expect(all.filter((line) => line.includes('/a,b')).map((line) => line.split(' ')[0])).toEqual([
    '-pidfile',
    '-blockdev',
    '-blockdev',
  ])
  expect(all.find((line) => line.startsWith('-chardev socket,id=serial0'))).toContain('logfile=/a,,b/')
})
