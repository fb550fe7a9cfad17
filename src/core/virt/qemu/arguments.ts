import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import type { Guest, ImageFiles } from '../driver.ts'
import type { GuestPaths } from './paths.ts'

export type Accelerator = 'kvm' | 'tcg'

export type MachineSpec = {
  guest: Guest
  /** Without a kernel the guest starts from its disk. */
  image: ImageFiles
  /** Whether the guest has a disk of its own: one made of the image's, or an empty one. */
  hasDisk: boolean
  accelerator: Accelerator
  paths: GuestPaths
  /** Where the guest was suspended: the number of the open file to take its memory from, and the machine it is of. */
  memory: { fd: number; machineType: string } | undefined
}

/** PCIe ports left empty, so that disks and network cards can be plugged in while the guest runs. */
const sparePorts = 4

/** A comma inside a value must be doubled, or QEMU takes what follows for the next option. */
const plain = (value: string): string => value.replaceAll(',', ',,')

/** The guest's hardware address: the same at every start, taken from its id. Its link is its own, see `network`. */
const macAddress = (id: string): string => {
  const digest = createHash('sha256').update(id).digest()
  return ['52', '54', '00', ...[0, 1, 2].map((i) => digest.toString('hex', i, i + 1))].join(':')
}

const accelerators: Record<Accelerator, readonly string[]> = {
  kvm: ['-accel', 'kvm', '-cpu', 'host'],
  // The translation cache takes a quarter of the host's memory by default; 32 MiB are enough for small guests.
  tcg: ['-accel', 'tcg,thread=multi,tb-size=32', '-cpu', 'max'],
}

const machine = ({ guest, accelerator, paths, memory }: MachineSpec): string[] => [
  '-name',
  `guest=${plain(guest.name)}`,
  '-uuid',
  guest.id,
  '-pidfile',
  paths.pid,
  // Nothing that we did not name: no configuration files, no default devices, no screen, no monitor on stdio.
  '-no-user-config',
  '-nodefaults',
  '-display',
  'none',
  '-machine',
  memory?.machineType ?? 'q35',
  ...accelerators[accelerator],
  '-smp',
  String(guest.size.vcpus),
  '-m',
  String(guest.size.memoryMb),
  '-rtc',
  'base=utc',
  // A guest that puts itself to sleep would look paused and nobody could wake it.
  '-global',
  'ICH9-LPC.disable_s3=1',
  '-global',
  'ICH9-LPC.disable_s4=1',
  // spawn=deny: QEMU can start no program, so neither can a guest that broke out into it.
  '-sandbox',
  'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
  '-msg',
  'timestamp=on',
]

const channels = ({ paths }: MachineSpec): string[] => [
  '-chardev',
  `socket,id=qmp0,path=${basename(paths.qmp)},server=on,wait=off`,
  '-mon',
  'chardev=qmp0,mode=control',
  '-chardev',
  `socket,id=serial0,path=${basename(paths.serial)},server=on,wait=off,logfile=${plain(paths.console)},logappend=on`,
  '-serial',
  'chardev:serial0',
]

const disk = (node: string, options: Record<string, unknown>, device: string): string[] => [
  '-blockdev',
  JSON.stringify({ 'node-name': node, ...options }),
  '-device',
  `virtio-blk-pci,id=${node}-disk,drive=${node},${device}`,
]

const disks = ({ image, hasDisk, paths }: MachineSpec): string[] => [
  ...(hasDisk
    ? disk(
        'root',
        { driver: 'qcow2', discard: 'unmap', file: { driver: 'file', filename: paths.disk } },
        // A kernel that is given takes the first place itself.
        image.kernel === undefined ? 'serial=root,bootindex=0' : 'serial=root',
      )
    : []),
  // After the root disk, so that the root disk is the guest's first.
  ...disk(
    'config',
    { driver: 'raw', 'read-only': true, file: { driver: 'file', filename: paths.configDrive } },
    'serial=config',
  ),
]

/** `restrict=on`: the guest gets an address but reaches nothing; otherwise 10.0.2.2 would be this host's loopback. */
const network = ({ guest }: MachineSpec): string[] => [
  '-netdev',
  'user,id=net0,restrict=on',
  '-device',
  // An empty romfile, or the card's own boot program runs before the disk.
  `virtio-net-pci,id=net0-card,netdev=net0,mac=${macAddress(guest.id)},romfile=`,
]

const devices: readonly string[] = [
  '-object',
  'rng-random,id=rng0,filename=/dev/urandom',
  '-device',
  'virtio-rng-pci,rng=rng0',
  // By this device the guest's kernel tells that it crashed.
  '-device',
  'pvpanic-pci',
  ...Array.from({ length: sparePorts }, (_, i) => [
    '-device',
    `pcie-root-port,id=spare${i},chassis=${i + 1},slot=${i + 1}`,
  ]).flat(),
]

function kernel({ image, accelerator }: MachineSpec): string[] {
  if (image.kernel === undefined) return []
  const words = [
    'console=ttyS0',
    ...(image.disk ? ['root=/dev/vda'] : []),
    // A ramdisk mounts the root as it likes; without one the kernel mounts it, and would do it read-only.
    ...(image.disk && image.ramdisk === undefined ? ['rw'] : []),
    // An emulated timer on a busy host fails the kernel's check of it, which ends in a panic.
    ...(accelerator === 'tcg' ? ['no_timer_check'] : []),
  ]
  return [
    '-kernel',
    image.kernel,
    ...(image.ramdisk === undefined ? [] : ['-initrd', image.ramdisk]),
    '-append',
    words.join(' '),
  ]
}

/**
 * The arguments that QEMU is started with. The same wish gives the same arguments, which is what lets a saved memory be
 * taken up by another process.
 */
export const qemuArguments = (spec: MachineSpec): string[] => [
  ...machine(spec),
  ...channels(spec),
  ...disks(spec),
  ...network(spec),
  ...devices,
  ...kernel(spec),
  ...(spec.memory === undefined ? [] : ['-incoming', `fd:${spec.memory.fd}`]),
]
