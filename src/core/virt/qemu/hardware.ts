import type { Disk, Guest, Nic } from '../driver.ts'

/**
 * The machine that a guest was last booted on. Saved memory fits no other machine, so a suspended guest is resumed on
 * this one, whatever the guest, the configuration or this program have become since. A boot builds a new one.
 */
export type Hardware = {
  /** A key of {@link profiles}. */
  profile: number
  /** QEMU's name of the processor; absent in records from before there was a choice: the accelerator's default. */
  cpu?: string
  vcpus: number
  memoryMb: number
  /** Cards and disks are those that the guest was given for that boot. */
  nics: readonly Nic[]
  disks: readonly Disk[]
  /** QEMU's exact name for the kind of machine, as `pc-q35-7.2`; known once the guest has been suspended. */
  machineType?: string
}

/** The devices that every guest has; a guest without a disk has no `root`. */
type FixedDevice = 'root' | 'config' | 'card' | 'random' | 'panic'

/** What a guest's machine is made of, besides what the guest chooses. */
type Profile = {
  machine: string
  /** The place of each fixed device on the first PCI bus; undefined lets QEMU take the next free one. */
  addresses: Readonly<Record<FixedDevice, string>> | undefined
  /** Empty PCIe ports, as arguments of `-device`: for further cards and disks, now or while the guest runs. */
  sparePorts: readonly string[]
}

const sparePort = (i: number): string => `pcie-root-port,id=spare${i},chassis=${i + 1},slot=${i + 1}`

/** Eight ports share a slot of the first bus, which has 30 of them: slots 0x18, 0x19, 0x1a here. */
function sharedSparePort(i: number): string {
  const slot = (0x18 + Math.floor(i / 8)).toString(16)
  const first = i % 8 === 0 ? ',multifunction=on' : ''
  return `${sparePort(i)},bus=pcie.0,addr=0x${slot}.${i % 8}${first}`
}

const numbered = (count: number, port: (i: number) => string) => Array.from({ length: count }, (_, i) => port(i))

/**
 * Every profile that a guest of ours may have been booted on. They never change: memory was saved on them. A new device
 * or another place for one is a new profile, at the end.
 */
const profiles: Readonly<Record<number, Profile>> = {
  1: { machine: 'q35', addresses: undefined, sparePorts: numbered(4, sparePort) },
  // The addresses that QEMU chose by itself for a guest with a root disk, so that a guest which is booted on this profile
  // after the first one finds its network card under the same name.
  2: {
    machine: 'q35',
    addresses: { root: '0x1', config: '0x2', card: '0x3', random: '0x4', panic: '0x5' },
    sparePorts: numbered(24, sharedSparePort),
  },
}

/** The profile that guests are booted on. */
const newestProfile = 2

/** The profile of this number. Fails if a newer version of this program booted the guest. */
export function profileOf({ profile: number }: Pick<Hardware, 'profile'>): Profile {
  const profile = profiles[number]
  if (profile === undefined) throw new Error(`it was started on hardware profile ${number}, which is not known here`)
  return profile
}

/** The machine that a guest is booted on now. */
export const newHardware = ({ size, nics, disks }: Guest, cpu: string): Hardware => ({
  profile: newestProfile,
  cpu,
  vcpus: size.vcpus,
  memoryMb: size.memoryMb,
  nics,
  disks,
})
