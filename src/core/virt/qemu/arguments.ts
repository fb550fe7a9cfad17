import { dirname, relative } from 'node:path'
import { assert } from '../../base/errors.ts'
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
  /** Whether it takes up the memory that was saved when the guest was suspended. */
  resumes: boolean
}

/** What QEMU is given a file for; a volume by its place among the guest's. */
type Use = 'config' | 'console' | 'disk' | 'base' | 'kernel' | 'ramdisk' | 'memory' | `volume${number}`

/** A file that QEMU is given open, so that its user needs no way to it. */
export type MachineFile = { use: Use; path: string; flags: 'r' | 'r+' | 'a' }

/** The files that QEMU is given, as its file numbers 3, 4, … */
export function machineFiles({
  paths,
  image,
  hasDisk,
  hardware,
  resumes,
}: Omit<MachineSpec, 'accelerator'>): MachineFile[] {
  const maybe = (use: Use, path: string | undefined, flags: MachineFile['flags'] = 'r'): MachineFile[] =>
    path === undefined ? [] : [{ use, path, flags }]
  return [
    { use: 'config', path: paths.configDrive, flags: 'r' },
    { use: 'console', path: paths.console, flags: 'a' },
    ...maybe('disk', hasDisk ? paths.disk : undefined, 'r+'),
    ...maybe('base', hasDisk ? image.disk?.path : undefined),
    ...maybe('kernel', image.kernel),
    ...maybe('ramdisk', image.ramdisk),
    ...hardware.disks.map(({ path }, i) => ({ use: `volume${i}` as const, path, flags: 'r+' as const })),
    ...maybe('memory', resumes ? paths.memory : undefined),
  ]
}

/** The number of a file that QEMU is given. */
function numberOf(spec: MachineSpec, use: Use): number {
  const at = machineFiles(spec).findIndex((file) => file.use === use)
  assert(at >= 0, `QEMU is given no ${use}`)
  return at + 3
}

/** The name of such a file for QEMU's block devices and character devices. */
const fileSet = (spec: MachineSpec, use: Use): string => `/dev/fdset/${numberOf(spec, use)}`

/** The name of such a file for what opens files by the system's call. */
const openFile = (spec: MachineSpec, use: Use): string => `/proc/self/fd/${numberOf(spec, use)}`

/** Used by QEMU as by its user they could not be: by name. The directory tells whose machine it is, see {@link directoryIn}. */
const files = (spec: MachineSpec): string[] =>
  machineFiles(spec)
    .filter(({ use }) => use !== 'kernel' && use !== 'ramdisk' && use !== 'memory')
    .flatMap(({ use }) => {
      const n = numberOf(spec, use)
      return ['-add-fd', `fd=${n},set=${n}${use === 'config' ? `,opaque=${plain(spec.paths.dir)}` : ''}`]
    })

/** The directory of the guest whose machine has these arguments; undefined if it is none of ours. */
export function directoryIn(args: readonly string[]): string | undefined {
  const option = (name: string) => args[args.indexOf(name) + 1] ?? ''
  const [, told] = args.includes('-add-fd') ? (/,opaque=(.*)$/.exec(option('-add-fd')) ?? []) : []
  if (told !== undefined) return told.replaceAll(',,', ',')
  // Machines that an older nova has started.
  return args.includes('-pidfile') ? dirname(option('-pidfile')) : undefined
}

/** A comma inside a value must be doubled, or QEMU takes what follows for the next option. */
const plain = (value: string): string => value.replaceAll(',', ',,')

/** The processor of guests if nobody chose one: all that the host's can do, or all that QEMU can imitate. */
export const defaultCpu: Readonly<Record<Accelerator, string>> = { kvm: 'host', tcg: 'max' }

/**
 * QEMU's translation cache under TCG, in MiB, for all processors of a guest together. It takes a quarter of the host's memory
 * by default; this is enough for small guests.
 */
export const translationCacheMib = 32

const accelerators: Record<Accelerator, readonly string[]> = {
  kvm: ['-accel', 'kvm'],
  tcg: ['-accel', `tcg,thread=multi,tb-size=${translationCacheMib}`],
}

const machine = ({ guest, hardware, accelerator, resumes }: MachineSpec): string[] => [
  '-name',
  `guest=${plain(guest.name)}`,
  '-uuid',
  guest.id,
  // Nothing that we did not name: no configuration files, no default devices, no screen, no monitor on stdio.
  '-no-user-config',
  '-nodefaults',
  '-display',
  'none',
  '-machine',
  (resumes ? hardware.machineType : undefined) ?? profileOf(hardware).machine,
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

const channels = (spec: MachineSpec): string[] => [
  '-chardev',
  `socket,id=qmp0,path=${relative(spec.paths.dir, spec.paths.qmp)},server=on,wait=off`,
  '-mon',
  'chardev=qmp0,mode=control',
  '-chardev',
  `socket,id=serial0,path=${relative(spec.paths.dir, spec.paths.serial)},server=on,wait=off,logfile=${fileSet(spec, 'console')},logappend=on`,
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

/** What the guest's disk stands on: the image that is given, or nothing, whatever its file says. */
const backing = (spec: MachineSpec): Record<string, unknown> | null =>
  spec.image.disk === undefined
    ? null
    : { driver: spec.image.disk.format, 'read-only': true, file: { driver: 'file', filename: fileSet(spec, 'base') } }

const disks = (spec: MachineSpec): string[] => [
  ...(spec.hasDisk
    ? disk(
        'root',
        {
          driver: 'qcow2',
          discard: 'unmap',
          file: { driver: 'file', filename: fileSet(spec, 'disk') },
          backing: backing(spec),
        },
        // A kernel that is given takes the first place itself.
        `serial=root${spec.image.kernel === undefined ? ',bootindex=0' : ''}${at(spec.hardware, 'root')}`,
      )
    : []),
  // After the root disk, so that the root disk is the guest's first.
  ...disk(
    'config',
    { driver: 'raw', 'read-only': true, file: { driver: 'file', filename: fileSet(spec, 'config') } },
    `serial=config${at(spec.hardware, 'config')}`,
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
function plugged(spec: MachineSpec): string[] {
  const { hardware } = spec
  const devices = [
    ...hardware.nics.slice(1).map((nic, i) => (port: string) => networkCard(nic, i + 1, `,bus=${port}`)),
    ...hardware.disks.map(({ id, path, format }, i) => (port: string) => {
      const file = { driver: path.startsWith('/dev/') ? 'host_device' : 'file', filename: fileSet(spec, `volume${i}`) }
      return disk(`volume${i}`, { driver: format, file }, `serial=${plain(id.slice(0, 20))},bus=${port}`)
    }),
  ]
  const ports = profileOf(hardware).sparePorts.length
  if (devices.length > ports) throw new Error(`it has ${devices.length} more cards and disks, and ${ports} ports`)
  return devices.flatMap((device, i) => device(`spare${i}`))
}

function kernel(spec: MachineSpec): string[] {
  const { image, accelerator } = spec
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
    openFile(spec, 'kernel'),
    ...(image.ramdisk === undefined ? [] : ['-initrd', openFile(spec, 'ramdisk')]),
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
  ...files(spec),
  ...channels(spec),
  ...disks(spec),
  ...firstCard(spec),
  ...devices(spec),
  ...plugged(spec),
  ...kernel(spec),
  ...(spec.resumes ? ['-incoming', `fd:${numberOf(spec, 'memory')}`] : []),
]
