import { describe, expect, test } from 'vitest'
import { directoryIn, type MachineSpec, machineFiles, qemuArguments } from '../../../../src/core/virt/qemu/arguments.ts'
import { newHardware } from '../../../../src/core/virt/qemu/hardware.ts'
import { guestPaths } from '../../../../src/core/virt/qemu/paths.ts'

const id = '6f70656e-7374-4163-8b00-6e6f76612121'
const disk = { path: '/images/d', format: 'qcow2' as const }
const nics = [{ id: '6f70656e-7374-4163-8b00-6e6f76612122', mac: 'fa:16:3e:83:34:77' }]
const first = { profile: 1, vcpus: 2, memoryMb: 512, nics, disks: [] }
const spec = (change: Partial<MachineSpec> = {}): MachineSpec => ({
  guest: {
    id,
    name: 'web',
    size: { vcpus: 2, memoryMb: 512, diskGb: 1 },
    metadata: {},
    userData: undefined,
    publicKey: undefined,
    generation: 1,
    nics,
    disks: [],
  },
  hardware: first,
  image: { disk, kernel: undefined, ramdisk: undefined },
  hasDisk: true,
  accelerator: 'kvm',
  paths: guestPaths('/state', id),
  resumes: false,
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

test('a guest with a disk, on KVM and hardware profile 1', () => {
  expect(lines()).toEqual([
    '-name guest=web',
    `-uuid ${id}`,
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
    `-add-fd fd=3,set=3,opaque=/state/instances/${id}`,
    '-add-fd fd=4,set=4',
    '-add-fd fd=5,set=5',
    '-add-fd fd=6,set=6',
    '-chardev socket,id=qmp0,path=run/qmp.sock,server=on,wait=off',
    '-mon chardev=qmp0,mode=control',
    '-chardev socket,id=serial0,path=run/serial.sock,server=on,wait=off,logfile=/dev/fdset/4,logappend=on',
    '-serial chardev:serial0',
    '-blockdev {"node-name":"root","driver":"qcow2","discard":"unmap","file":{"driver":"file","filename":"/dev/fdset/5"},"backing":{"driver":"qcow2","read-only":true,"file":{"driver":"file","filename":"/dev/fdset/6"}}}',
    '-device virtio-blk-pci,id=root-disk,drive=root,serial=root,bootindex=0',
    '-blockdev {"node-name":"config","driver":"raw","read-only":true,"file":{"driver":"file","filename":"/dev/fdset/3"}}',
    '-device virtio-blk-pci,id=config-disk,drive=config,serial=config',
    '-netdev user,id=net0,restrict=on',
    '-device virtio-net-pci,id=net0-card,netdev=net0,mac=fa:16:3e:83:34:77,romfile=',
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
  /** The kernel, with the files that QEMU is given open by their paths. */
  const kernel = (image: MachineSpec['image'], hasDisk: boolean) => {
    const given = machineFiles(spec({ image, hasDisk }))
    return added({ image, hasDisk })
      .filter((line) => line.startsWith('-kernel') || line.startsWith('-initrd') || line.startsWith('-append'))
      .map((line) => line.replace(/\/proc\/self\/fd\/(\d+)/, (_, n) => given[Number(n) - 3]?.path ?? ''))
      .join(' ')
  }

  test('wholly in RAM from kernel and ramdisk', () => {
    expect(kernel(files, false)).toBe('-kernel /images/k -initrd /images/r -append console=ttyS0')
    const devices = dropped({ image: files, hasDisk: false }).filter((line) => !line.startsWith('-add-fd'))
    expect(devices).toEqual([expect.stringContaining('"node-name":"root"'), expect.stringContaining('drive=root')])
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
    const change = { resumes: true, hardware: { ...first, machineType: 'pc-q35-7.2' } }
    expect(added(change)).toEqual(['-machine pc-q35-7.2', '-incoming fd:7'])
    expect(dropped(change)).toEqual(['-machine q35'])
    // A boot is not bound to it.
    expect(added({ hardware: change.hardware })).toEqual([])
  })
  test('with the size of its hardware, whatever the instance has been resized to', () => {
    const change = { hardware: { ...first, vcpus: 4, memoryMb: 1024 } }
    expect(added(change)).toEqual(['-smp 4', '-m 1024'])
  })
  test('with the processor of its hardware', () => {
    expect(added({ hardware: { ...first, cpu: 'Haswell-v1' } })).toEqual(['-cpu Haswell-v1'])
    expect(added({ hardware: { ...first, cpu: 'Haswell-v1' }, accelerator: 'tcg' })).toContain('-cpu Haswell-v1')
  })
})

describe('on hardware profile 2', () => {
  const newest = newHardware(spec().guest, 'host')

  test('each device has its place, and there are 24 spare ports in three slots', () => {
    expect(newest.profile).toBe(2)
    expect(dropped({ hardware: newest }).filter((line) => !line.includes('id=spare'))).toEqual([
      '-device virtio-blk-pci,id=root-disk,drive=root,serial=root,bootindex=0',
      '-device virtio-blk-pci,id=config-disk,drive=config,serial=config',
      '-device virtio-net-pci,id=net0-card,netdev=net0,mac=fa:16:3e:83:34:77,romfile=',
      '-device virtio-rng-pci,rng=rng0',
      '-device pvpanic-pci',
    ])
    const port = (i: number, place: string) =>
      `-device pcie-root-port,id=spare${i},chassis=${i + 1},slot=${i + 1},bus=pcie.0,addr=${place}`
    expect(added({ hardware: newest })).toEqual([
      '-device virtio-blk-pci,id=root-disk,drive=root,serial=root,bootindex=0,bus=pcie.0,addr=0x1',
      '-device virtio-blk-pci,id=config-disk,drive=config,serial=config,bus=pcie.0,addr=0x2',
      '-device virtio-net-pci,id=net0-card,netdev=net0,mac=fa:16:3e:83:34:77,romfile=,bus=pcie.0,addr=0x3',
      '-device virtio-rng-pci,rng=rng0,bus=pcie.0,addr=0x4',
      '-device pvpanic-pci,bus=pcie.0,addr=0x5',
      ...['0x18', '0x19', '0x1a'].flatMap((slot, s) =>
        Array.from({ length: 8 }, (_, f) => port(8 * s + f, `${slot}.${f}${f === 0 ? ',multifunction=on' : ''}`)),
      ),
    ])
  })

  test('cards have the addresses of their ports, and all but the first a spare port each, as the volumes', () => {
    const nics = [
      { id: 'a', mac: 'fa:16:3e:00:00:01' },
      { id: 'b', mac: 'fa:16:3e:00:00:02' },
    ]
    const disks = [{ id: '6f70656e-7374-4163-8b00-6e6f76612122', path: '/dev/sdx', format: 'raw' as const }]
    const hardware = { ...newest, nics, disks }
    const all = lines({ hardware })
    expect(all.filter((line) => line.includes('net'))).toEqual([
      '-netdev user,id=net0,restrict=on',
      '-device virtio-net-pci,id=net0-card,netdev=net0,mac=fa:16:3e:00:00:01,romfile=,bus=pcie.0,addr=0x3',
      '-netdev user,id=net1,restrict=on',
      '-device virtio-net-pci,id=net1-card,netdev=net1,mac=fa:16:3e:00:00:02,romfile=,bus=spare0',
    ])
    expect(all.slice(-2)).toEqual([
      '-blockdev {"node-name":"volume0","driver":"raw","file":{"driver":"host_device","filename":"/dev/fdset/7"}}',
      '-device virtio-blk-pci,id=volume0-disk,drive=volume0,serial=6f70656e-7374-4163-8,bus=spare1',
    ])
  })

  test('a guest without cards has none, and all else is the same', () => {
    expect(dropped({ hardware: { ...first, nics: [] } })).toEqual([
      '-netdev user,id=net0,restrict=on',
      '-device virtio-net-pci,id=net0-card,netdev=net0,mac=fa:16:3e:83:34:77,romfile=',
    ])
    expect(added({ hardware: { ...first, nics: [] } })).toEqual([])
  })

  test('a machine that was booted before keeps its cards, whatever the instance has now', () => {
    const guest = { ...spec().guest, nics: [{ id: 'new', mac: 'fa:16:3e:00:00:03' }] }
    expect(lines({ guest })).toEqual(lines())
    expect(newHardware(guest, 'host').nics).toEqual(guest.nics)
  })

  test('more cards than it has ports are refused', () => {
    const nics = Array.from({ length: 26 }, (_, i) => ({ id: `${i}`, mac: `fa:16:3e:00:00:${10 + i}` }))
    expect(() => lines({ hardware: { ...newest, nics } })).toThrow('25 more cards and disks, and 24 ports')
  })
})

test('a profile that is not known here is an error', () => {
  expect(() => lines({ hardware: { ...first, profile: 99 } })).toThrow(/hardware profile 99, which is not known here/)
})

test('a comma in a name or a path does not become another option', () => {
  const guest = { ...spec().guest, name: 'a,debug-threads=on' }
  const all = lines({ guest, paths: guestPaths('/a,b', id) })
  expect(all[0]).toBe('-name guest=a,,debug-threads=on')
  expect(all).toContain(`-add-fd fd=3,set=3,opaque=/a,,b/instances/${id}`)
  expect(directoryIn(qemuArguments(spec({ guest, paths: guestPaths('/a,b', id) })))).toBe(`/a,b/instances/${id}`)
})

test('QEMU is given its files open, and no more of them than it may use', () => {
  const disks = [{ id: 'v', path: '/dev/sdx', format: 'raw' as const }]
  const given = machineFiles(spec({ hardware: { ...first, disks }, resumes: true }))
  expect(given.map(({ path, flags }) => `${flags} ${path.replace(`/state/instances/${id}/`, '')}`)).toEqual([
    'r config.iso',
    'a console.log',
    'r+ disk.qcow2',
    'r /images/d',
    'r+ /dev/sdx',
    'r memory.save',
  ])
})

test('a machine is known by its directory, also one that an older nova has started', () => {
  expect(directoryIn(qemuArguments(spec()))).toBe(`/state/instances/${id}`)
  expect(directoryIn(['qemu', '-pidfile', `/state/instances/${id}/qemu.pid`])).toBe(`/state/instances/${id}`)
  expect(directoryIn(['cat', '/state'])).toBeUndefined()
})
