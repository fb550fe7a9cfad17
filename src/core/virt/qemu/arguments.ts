import { basename } from 'node:path'
import type { Guest, ImageFiles, Nic } from '../driver.ts'
import { type Hardware, profileOf } from './hardware.ts'
import type { GuestPaths } from './paths.ts'

export type Accelerator = 'kvm' | 'tcg'

export type MachineSpec = {
  guest: Guest
  hardware: Hardware
  /** Without a kernel the guest starts from its disk. */
  image: ImageFiles
  /** Whether the guest has a disk of its own: one made of the image's, or an empty one. */
  hasDisk: boolean
  accelerator: Accelerator
  paths: GuestPaths
  /** If the guest was suspended: the number of the open file to take its memory from. */
  memory: { fd: number } | undefined
}

/** A comma inside a value must be doubled, or QEMU takes what follows for the next option. */
const plain = (value: string): string => value.replaceAll(',', ',,')

/** The processor of guests if nobody chose one: all that the host's can do, or all that QEMU can imitate. */
export const defaultCpu: Readonly<Record<Accelerator, string>> = { kvm: 'host', tcg: 'max' }

const accelerators: Record<Accelerator, readonly string[]> = {
  kvm: ['-accel', 'kvm'],
  // The translation cache takes a quarter of the host's memory by default; 32 MiB are enough for small guests.
  tcg: ['-accel', 'tcg,thread=multi,tb-size=32'],
}

const machine = ({ guest, hardware, accelerator, paths, memory }: MachineSpec): string[] => [
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
  (memory && hardware.machineType) ?? profileOf(hardware).machine,
  ...accelerators[accelerator],
  '-cpu',
  hardware.cpu ?? defaultCpu[accelerator],
  '-smp',
  String(hardware.vcpus),
  '-m',
  String(hardware.memoryMb),
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

/** The place of one of the devices that every guest has, to be appended to its `-device`. */
function at(hardware: Hardware, device: 'root' | 'config' | 'card' | 'random' | 'panic'): string {
  const { addresses } = profileOf(hardware)
  return addresses === undefined ? '' : `,bus=pcie.0,addr=${addresses[device]}`
}

const disk = (node: string, options: Record<string, unknown>, device: string): string[] => [
  '-blockdev',
  JSON.stringify({ 'node-name': node, ...options }),
  '-device',
  `virtio-blk-pci,id=${node}-disk,drive=${node},${device}`,
]

const disks = ({ image, hasDisk, hardware, paths }: MachineSpec): string[] => [
  ...(hasDisk
    ? disk(
        'root',
        { driver: 'qcow2', discard: 'unmap', file: { driver: 'file', filename: paths.disk } },
        // A kernel that is given takes the first place itself.
        `serial=root${image.kernel === undefined ? ',bootindex=0' : ''}${at(hardware, 'root')}`,
      )
    : []),
  // After the root disk, so that the root disk is the guest's first.
  ...disk(
    'config',
    { driver: 'raw', 'read-only': true, file: { driver: 'file', filename: paths.configDrive } },
    `serial=config${at(hardware, 'config')}`,
  ),
]

/** `restrict=on`: the guest gets an address but reaches nothing; otherwise 10.0.2.2 would be this host's loopback. */
const networkCard = ({ mac }: Nic, i: number, place: string): string[] => [
  '-netdev',
  `user,id=net${i},restrict=on`,
  '-device',
  // An empty romfile, or the card's own boot program runs before the disk.
  `virtio-net-pci,id=net${i}-card,netdev=net${i},mac=${plain(mac)},romfile=${place}`,
]

const firstCard = ({ hardware }: MachineSpec): string[] =>
  hardware.nics.slice(0, 1).flatMap((nic) => networkCard(nic, 0, at(hardware, 'card')))

const devices = ({ hardware }: MachineSpec): string[] => [
  '-object',
  'rng-random,id=rng0,filename=/dev/urandom',
  '-device',
  `virtio-rng-pci,rng=rng0${at(hardware, 'random')}`,
  // By this device the guest's kernel tells that it crashed.
  '-device',
  `pvpanic-pci${at(hardware, 'panic')}`,
  ...profileOf(hardware).sparePorts.flatMap((port) => ['-device', port]),
]

/** The second and further cards, and the volumes, each in a spare port of its own. */
function plugged({ hardware }: MachineSpec): string[] {
  const devices = [
    ...hardware.nics.slice(1).map((nic, i) => (port: string) => networkCard(nic, i + 1, `,bus=${port}`)),
    ...hardware.disks.map(({ id, path, format }, i) => (port: string) => {
      const file = { driver: path.startsWith('/dev/') ? 'host_device' : 'file', filename: path }
      return disk(`volume${i}`, { driver: format, file }, `serial=${plain(id.slice(0, 20))},bus=${port}`)
    }),
  ]
  const ports = profileOf(hardware).sparePorts.length
  if (devices.length > ports) throw new Error(`it has ${devices.length} more cards and disks, and ${ports} ports`)
  return devices.flatMap((device, i) => device(`spare${i}`))
}

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
 * The arguments that QEMU is started with. The same spec gives the same arguments, which is what lets a saved memory be
 * taken up by another process.
 */
export const qemuArguments = (spec: MachineSpec): string[] => [
  ...machine(spec),
  ...channels(spec),
  ...disks(spec),
  ...firstCard(spec),
  ...devices(spec),
  ...plugged(spec),
  ...kernel(spec),
  ...(spec.memory === undefined ? [] : ['-incoming', `fd:${spec.memory.fd}`]),
]
