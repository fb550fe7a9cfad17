import type { PowerState, Size } from '../model/instance.ts'

/** A network card of a guest. */
export type Nic = {
  /** Port id (UUID); the instance's own until there are ports. */
  id: string
  /** Hardware address as `fa:16:3e:12:34:56`. */
  mac: string
}

/** A disk of a guest beyond its root disk: an attached volume, as it can be opened on this host. */
export type Disk = {
  /** Volume id (UUID); its first 20 characters are the disk's serial number in the guest. */
  id: string
  path: string
  format: 'qcow2' | 'raw'
}

/** What the hypervisor needs to know of an instance; all of it comes with the operation. */
export type Guest = {
  /** Instance id (UUID): names its directory, its sockets, its process. */
  id: string
  name: string
  size: Size
  metadata: Readonly<Record<string, string>>
  /** Base64 as the user gave it, or undefined. */
  userData: string | undefined
  /** One OpenSSH public key line, or undefined. */
  publicKey: string | undefined
  /** Ownership generation of the instance row; a start with an older one is refused. */
  generation: number
  /** Exactly these cards, in the order in which the guest sees them. */
  nics: readonly Nic[]
  /** Without the root disk, in the order in which the guest sees them. */
  disks: readonly Disk[]
}

/** The files that an instance starts from, as paths in this host's image cache. At least one of disk and kernel. */
export type ImageFiles = {
  disk: { path: string; format: 'qcow2' | 'raw' } | undefined
  kernel: string | undefined
  ramdisk: string | undefined
}

/** A guest and its power state. */
export type GuestPower = { id: string; power: PowerState }

/** A guest as a host finds it; `generation` is that of the owner who started it last. */
export type GuestSeen = GuestPower & { generation: number }

/** What a host has to give, before any overcommit. */
export type Resources = {
  vcpus: number
  memoryMb: number
  diskGb: number
  hypervisor: string
  hypervisorVersion: string
  /** `kvm`, `tcg`, `fake`. It may change while the host runs: a KVM that fails is given up. */
  accelerator: string
  /** Why it is that one, in a person's words. */
  acceleratorWhy?: string
  /** Which controllers of cgroups bound guests, and why not others, in a person's words; absent if the driver has no such guests. */
  cgroups?: { controllers: readonly string[]; why: string }
}

/** All that a stopped guest has on its host, read to be moved to another host. */
export type DiskReader = {
  /** Bytes that hold data, for progress; what is sent may differ a little. */
  readonly sizeBytes: number
  /** Length of the whole in bytes, holes included: what the writer's `complete` is told. 0 if there is nothing to move. */
  readonly lengthBytes: number
  /**
   * The data in ascending order, at most 1 MiB each; what lies between holds zeros. May be asked for again, from the
   * start. Fails if the data was changed while it was read.
   */
  extents(signal?: AbortSignal): AsyncIterable<{ offset: number; data: Buffer }>
  close(): Promise<void>
}

/** Takes what a {@link DiskReader} of the same driver reads on another host. */
export type DiskWriter = {
  write(offset: number, data: Buffer): Promise<void>
  /** Forgets all that was written, for a sender that starts over. */
  restart(): Promise<void>
  /** Checks the whole and makes the guest present, shut down. `sizeBytes` is the reader's `lengthBytes`. */
  complete(sizeBytes: number): Promise<void>
  /** Removes all that was written; does nothing after `complete`. */
  abort(): Promise<void>
}

/**
 * A hypervisor. Every action is idempotent: done twice, or begun by a daemon that was killed and done again by its
 * successor, it ends the same. An action that cannot be done fails with `DriverFailed`; one that is taken back by `signal`
 * rejects with the signal's reason and leaves what a repetition can go on from.
 */
export type Driver = {
  readonly name: string
  /** Takes up the guests that run already (after a restart of the daemon) and begins to watch them. */
  init(): Promise<void>
  /** Lets go of the guests without touching them. */
  close(): Promise<void>
  resources(): Promise<Resources>
  /** All guests that this host has, running or not. */
  list(): Promise<GuestSeen[]>
  /** NOSTATE if there is no such guest. */
  power(id: string): Promise<PowerState>
  /**
   * Looks whether guests can be made of the image's files; `ImageUnusable` if not. It may take long for a large image, the
   * first time: a verdict may be kept beside a file, as `FILE.checked`, and goes when the file goes.
   */
  checkImage?(image: ImageFiles, signal?: AbortSignal): Promise<void>
  /** Makes the guest's disk and remembers what it is to start with. */
  createDisk(guest: Guest, image: ImageFiles, signal?: AbortSignal): Promise<void>
  /** Starts the guest from its disk, resuming from its saved memory if it was suspended. */
  start(guest: Guest, signal?: AbortSignal): Promise<void>
  /** Asks the guest to power off and, after `graceMs`, cuts its power. */
  stop(id: string, graceMs: number, signal?: AbortSignal): Promise<void>
  /**
   * `soft` asks the guest and falls back to `hard` after `graceMs`; `hard` cuts the power, builds the machine again from
   * the guest as it is given (its size, metadata, cards and disks) and boots it.
   */
  reboot(guest: Guest, kind: 'soft' | 'hard', graceMs: number, signal?: AbortSignal): Promise<void>
  pause(id: string): Promise<void>
  unpause(id: string): Promise<void>
  /** Saves the guest's memory to its directory and ends its process. */
  suspend(id: string, signal?: AbortSignal): Promise<void>
  resume(guest: Guest, signal?: AbortSignal): Promise<void>
  /** Ends the guest and removes all that it had on this host. Content to find nothing. */
  destroy(id: string): Promise<void>
  /** Opens what the guest has here, to be moved to another host. Only a guest that is SHUTDOWN or CRASHED. */
  exportDisk(id: string): Promise<DiskReader>
  /**
   * Begins to take a guest that another host exports; `image` is the guest's image in the cache of this host. What is
   * here of the guest is kept until `complete` replaces it; refused if it runs here or belongs to a newer generation. A
   * second import of the same guest takes the place of the first.
   */
  importDisk(guest: Guest, image: ImageFiles): Promise<DiskWriter>
  /** The last `lines` lines of the serial console (all if unset), at most 1 MiB. */
  consoleLog(id: string, lines?: number): Promise<string>
  /** What the hypervisor itself said last of a guest: one line, if it keeps a log and there is something in it. */
  lastWords?(id: string): Promise<string | undefined>
  /** Told when a guest changes its power state by itself (it shut down, it crashed). */
  onPower(listener: (change: GuestPower) => void): () => void
}
