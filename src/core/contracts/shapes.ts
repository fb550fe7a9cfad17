import * as z from 'zod'
import { isPlain } from '../base/invisible.ts'
import { instanceStates, powerStates } from '../model/instance.ts'
import { kindNames, operationStates } from '../model/operation.ts'
import { since } from '../rpc/contract.ts'

/**
 * A set of words in an answer to which later versions may add: its reader takes any text, so that a new word spoils no
 * answer. The type is that of the words known here, for those who write them; who reads does not count on there being no more.
 */
const growing = <T extends string>(words: readonly T[]): z.ZodType<T> =>
  z.union([z.enum(words), z.string()]) as unknown as z.ZodType<T>

/** What a person calls a thing: its name or its id; resolved on the server, so that a command is one round trip. */
export const Ref = z.string().min(1, 'a name or id is needed').max(255)
/** Milliseconds since the epoch. */
const Time = z.int().nonnegative()
/** The identity of a thing of ours: a UUID, given once and never again. */
export const Id = z.uuid()
/** One word of a peer: a kind, a step, a version. As long as the columns that keep such words. */
export const Word = z.string().min(1).max(64)
/** A text as long as most columns. */
export const Text = z.string().max(255)

/** A record of at most `max` items; JSON Schema calls that `maxProperties`. */
export const recordOf = <K extends z.ZodType<string>, V extends z.ZodType>(key: K, value: V, max: number) =>
  z
    .record(key, value)
    .refine((items) => Object.keys(items).length <= max, `at most ${max} items`)
    .meta({ maxProperties: max })

/** As Nova's quota of metadata items. */
const metadataMax = 128
/** Notes of a user's own, key to value, as Nova bounds them. */
export const Metadata = recordOf(
  z.string().min(1).max(255).refine(isPlain, 'no invisible characters in keys'),
  Text,
  metadataMax,
)
/** The versions of contracts, by topic. */
export const Versions = recordOf(Word, Word, 32)
/** Names of instances, flavors and images: printable, no blank at either end. */
export const Name = z
  .string()
  .min(1, 'must not be empty')
  .max(255, 'at most 255 characters')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what this refuses.
  .regex(/^(?!\s)[^\u0000-\u001f\u007f]*(?<!\s)$/u, 'no control characters, no blank at the start or end')
  .refine(isPlain, 'no invisible characters')
/** The same for what is named from now on: a command would take a name that begins with a hyphen for a flag. */
export const NewName = Name.refine(
  (name) => !name.startsWith('-'),
  'no hyphen at the start: commands take that for a flag',
)
/** A host name as DNS has it; it becomes part of a queue's name. */
export const HostName = z
  .string()
  .max(255)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$/, 'letters, digits, dots and hyphens')

/** The hardware address of one network card, in small letters. If its first byte were odd, it would mean a group of cards. */
const Mac = z.string().regex(/^[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/, 'a MAC address such as fa:16:3e:12:34:56')
/** A network card of an instance. */
const Nic = z.object({ id: Id, mac: Mac })
/** A machine of the QEMU driver has a place for the first card, and 24 spare ports for the others. */
const nicsMax = 25
/** The network cards of an instance, in the order in which the guest sees them. */
export const Nics = z.array(Nic).max(nicsMax)

/** The largest number that the columns of sizes hold. */
const columnMax = 2 ** 31 - 1
const fitsColumn = (schema: z.ZodInt): z.ZodInt => schema.refine((n) => n <= columnMax, `at most ${columnMax}`)

/** What an instance takes of a host; memory in MiB, disk in GiB (0 in a flavor: as much as the image has). */
export const Size = z.object({
  vcpus: fitsColumn(z.int().positive()),
  memoryMb: fitsColumn(z.int().positive()),
  diskGb: fitsColumn(z.int().nonnegative()),
})
/** How much memory in MiB or disk in GiB an image needs at least. */
export const Minimum = fitsColumn(z.int().nonnegative())

/** As much of the words of a failure as is kept. */
const faultMax = { code: 255, message: 4_000, hint: 1_000 }
/** A failure as it is kept in rows and shown to people; `code` is a row of base/errors.ts or the class of a bug. */
export const Fault = z.object({
  code: z.string().max(faultMax.code),
  message: z.string().max(faultMax.message),
  hint: z.string().max(faultMax.hint).optional(),
  at: Time,
  host: Text.optional(),
})
export type Fault = z.infer<typeof Fault>

/** A failure cut to what is kept of it. */
export const cutFault = ({ code, message, hint, ...rest }: Fault): Fault => ({
  code: code.slice(0, faultMax.code),
  message: message.slice(0, faultMax.message),
  ...(hint === undefined ? {} : { hint: hint.slice(0, faultMax.hint) }),
  ...rest,
})

/** A size with a name, that instances are made with. */
export const Flavor = z.object({ id: z.string(), name: Name, ...Size.shape, createdAt: Time })
export type Flavor = z.infer<typeof Flavor>

const imageStatuses = ['queued', 'saving', 'active'] as const
/** The files that an image may have: a disk, or a kernel with its ramdisk. */
export const imageParts = ['disk', 'kernel', 'ramdisk'] as const
/** What the disk file of an image may be. */
export const diskFormats = ['qcow2', 'raw'] as const
export const ImagePart = z.enum(imageParts)
export type ImagePart = z.infer<typeof ImagePart>
/** One file of an image; `sha256` is what the host checks its copy against and names it by. */
export const ImageFile = z.object({ sizeBytes: z.int().nonnegative(), sha256: z.string().regex(/^[0-9a-f]{64}$/) })
export type ImageFile = z.infer<typeof ImageFile>
/** Who sees an image, in Glance's words: everybody, or its project. */
export const visibilities = ['public', 'private'] as const
/** The largest piece of an image file in one message, in bytes. */
export const pieceMax = 4 << 20
/** Such a piece as base64. */
export const Piece = z.base64().max(Math.ceil(pieceMax / 3) * 4)
/** What instances start from; `active` once all of its files are here and checked. */
export const Image = z.object({
  id: Id,
  name: Name,
  status: z.enum(imageStatuses),
  diskFormat: z.enum(diskFormats).optional(),
  files: z.partialRecord(ImagePart, ImageFile),
  minMemoryMb: z.int().nonnegative(),
  minDiskGb: z.int().nonnegative(),
  sizeBytes: z.int().nonnegative(),
  metadata: Metadata,
  createdAt: Time,
  /** How large a guest sees the disk, in bytes; absent if the image has none, or was not looked at yet. */
  virtualBytes: since('2.2', z.int().nonnegative()),
  visibility: since('2.2', growing(visibilities)),
  /** The project that the image belongs to. */
  projectId: since('2.2', z.string()),
})
export type Image = z.infer<typeof Image>

/** An instance as lists show it. */
export const InstanceSummary = z.object({
  id: Id,
  name: z.string(),
  status: growing(instanceStates),
  /** What its open operation is doing to it; absent at rest. */
  task: z.string().optional(),
  power: growing(powerStates),
  host: z.string().optional(),
  flavor: z.string(),
  image: z.string(),
  projectId: z.string(),
  createdAt: Time,
  /** Of a deleted instance only: when it went. All else is then as it was last. */
  deletedAt: Time.optional(),
})
export type InstanceSummary = z.infer<typeof InstanceSummary>

/** A step that an operation has come to: when, at which attempt, on which host; `undo`: to taking the step back. */
export const Step = z.object({
  name: z.string(),
  at: Time,
  attempt: z.int().positive(),
  host: z.string().optional(),
  undo: z.boolean().optional(),
})
export type Step = z.infer<typeof Step>

/** What an operation may act on. */
const subjectKinds = ['instance', 'image'] as const
/** The thing that an operation acts on, with the name that it had when the operation began. */
export const Subject = z.object({ kind: growing(subjectKinds), id: Id, name: z.string() })
export type Subject = z.infer<typeof Subject>

/** The instance that a subject is; undefined if the subject is of another kind. */
export const instanceOf = (subject: Subject): Subject | undefined => (subject.kind === 'instance' ? subject : undefined)

/** How far an executor has come with a long step: of how many bytes, and with what. */
export const Progress = z.object({
  what: z.string().max(64),
  doneBytes: z.int().nonnegative(),
  totalBytes: z.int().nonnegative(),
})
export type Progress = z.infer<typeof Progress>

/** An operation as lists show it. */
export const OperationSummary = z.object({
  id: Id,
  kind: growing(kindNames),
  state: growing(operationStates),
  /** What it acts on. */
  subject: Subject,
  /** The step it has reached; absent before the first. */
  step: z.string().optional(),
  /** Whoever carries it out, or did last. */
  host: z.string().optional(),
  /** What was done is being taken back; `fault` says why. */
  undoing: z.boolean().optional(),
  /** How far its executor says that it has come with a long step. */
  progress: since('2.1', Progress),
  attempt: z.int().nonnegative(),
  requestId: z.string(),
  createdAt: Time,
  finishedAt: Time.optional(),
  fault: Fault.optional(),
})
export type OperationSummary = z.infer<typeof OperationSummary>

/** An operation with all that is recorded of it. */
export const Operation = OperationSummary.extend({
  steps: z.array(Step),
  /** Who takes part while it is open: the host, as what, how far, and until when it holds its leg. */
  hosts: z.array(
    z.object({
      host: z.string(),
      role: z.string(),
      state: z.string(),
      step: z.string().optional(),
      leaseUntil: Time.optional(),
    }),
  ),
  deadline: Time,
  cancelRequested: z.boolean(),
  userId: z.string(),
  projectId: z.string(),
  retryOf: Id.optional(),
})
export type Operation = z.infer<typeof Operation>

/** An instance with all that its owner may know. */
export const Instance = InstanceSummary.extend({
  size: Size,
  imageId: z.string(),
  userId: z.string(),
  description: z.string().optional(),
  availabilityZone: z.string().optional(),
  metadata: Metadata,
  hints: Metadata,
  key: z.string().optional(),
  hasUserData: z.boolean(),
  macAddress: Mac.optional(),
  generation: z.int().nonnegative(),
  updatedAt: Time,
  launchedAt: Time.optional(),
  fault: Fault.optional(),
  operation: OperationSummary.optional(),
})
export type Instance = z.infer<typeof Instance>

/** up: its heartbeat is fresh; down: it is not. Never another: who knows these two only would refuse the whole answer. */
const serviceStates = ['up', 'down'] as const
/** When its own ping last came back through the broker, and if that is so long ago that it is degraded; only of daemons that ping. */
const Responsiveness = { lastPongAt: Time.optional(), unresponsive: z.boolean().optional() }
/** A daemon of the cloud as it last reported; `status` is what an administrator has set. */
export const Service = z.object({
  id: z.string(),
  binary: z.string(),
  host: z.string(),
  version: z.string(),
  state: z.enum(serviceStates),
  status: z.enum(['enabled', 'disabled']),
  disabledReason: z.string().optional(),
  seenAt: Time,
  startedAt: Time,
  ...Responsiveness,
  /** The versions of the contracts that it speaks, by topic. */
  contracts: z.record(z.string(), z.string()).optional(),
})
export type Service = z.infer<typeof Service>

/** Guests of a host that are no instances of this cloud: how many, and the ids of the first of them. */
export const UnknownGuests = z.object({ count: z.int().positive(), ids: z.array(Id) })
export type UnknownGuests = z.infer<typeof UnknownGuests>

/** Which controllers of cgroups bound the guests of a host, and why not others; `why` is empty if all do. */
export const HostCgroups = z.object({ controllers: z.array(Word).max(16), why: z.string().max(1_000) })
export type HostCgroups = z.infer<typeof HostCgroups>

/** A compute host: what it has, what of it is used, and what may be promised. */
export const Host = z.object({
  name: HostName,
  state: z.enum(serviceStates),
  status: z.enum(['enabled', 'disabled']),
  disabledReason: z.string().optional(),
  availabilityZone: z.string(),
  driver: z.string(),
  hypervisor: z.string(),
  accelerator: z.string(),
  total: Size,
  /** Sums over its instances; what the guarded update counts. */
  used: z.object({ vcpus: z.int(), memoryMb: z.int(), diskGb: z.int() }),
  /** What may be promised: total × ratio − reserved. */
  limit: z.object({ vcpus: z.int(), memoryMb: z.int(), diskGb: z.int() }),
  instances: z.int().nonnegative(),
  seenAt: Time,
  ...Responsiveness,
  unknownGuests: since('2.2', UnknownGuests),
  cgroups: since('2.2', HostCgroups),
})
export type Host = z.infer<typeof Host>

/** Something that has happened, as it is kept; `id` counts up. */
export const Event = z.object({
  id: z.int().nonnegative(),
  at: Time,
  type: z.string(),
  instanceId: z.string().optional(),
  instanceName: z.string().optional(),
  operationId: z.string().optional(),
  host: z.string().optional(),
  requestId: z.string(),
  projectId: z.string(),
  message: z.string().optional(),
  /** Whose text the message is, if it tells of a failure: as in a fault. */
  code: z.string().optional(),
  /** Who asked for it. */
  userId: z.string().optional(),
})
export type Event = z.infer<typeof Event>

/**
 * What goes out on the bus as `<type>.<instance id or ->.<operation id or ->`: an event as it is stored, or (number 0) a
 * step or progress that is only published, `operation.step` and `operation.progress`; with what became of operation and instance.
 */
export const Published = Event.extend({
  operation: z
    .object({
      kind: growing(kindNames),
      state: growing(operationStates),
      step: z.string().optional(),
      attempt: z.int().nonnegative(),
      undoing: z.boolean().optional(),
      progress: since('2.1', Progress),
      fault: Fault.optional(),
    })
    .optional(),
  /** The state in which the instance is now; absent if the event does not change it, or has removed it. */
  status: growing(instanceStates).optional(),
  /** What the event has changed, as it was before. */
  before: z.object({ status: growing(instanceStates).optional(), name: z.string().optional() }).optional(),
  /** What the operation acts on, if that is not an instance. */
  subject: Subject.optional(),
  /** What an event of a service or a flavor is about. */
  service: Service.optional(),
  flavor: Flavor.optional(),
})
export type Published = z.infer<typeof Published>

/** Why a host was let through or not: each filter's verdict, then the weights of those that passed. */
export const HostVerdict = z.object({
  host: z.string(),
  passed: z.boolean(),
  /** The first filter that said no, and its reason with numbers. */
  filter: z.string().optional(),
  reason: z.string().optional(),
  weight: z.number().optional(),
  weights: z.record(z.string(), z.number()).optional(),
})
export type HostVerdict = z.infer<typeof HostVerdict>
/** A placement as it was decided: what `nova explain` shows. Of many hosts it has the best and some of the refused ones. */
export const Decision = z.object({
  at: Time,
  chosen: z.string().optional(),
  /** For callers who may not see hosts, in place of `chosen`: whether a host was chosen. */
  placed: z.boolean().optional(),
  /** One line: "12 hosts: 7 disabled, 4 too little RAM, 1 wrong zone", or why the chosen one won. */
  summary: z.string(),
  filters: z.array(z.string()),
  weighers: z.array(z.string()),
  hosts: z.array(HostVerdict),
  /** All hosts, those that are not in `hosts` too: how many can, and how many were refused for which reason. */
  counts: z
    .object({
      hosts: z.int(),
      passed: z.int(),
      refused: z.array(z.object({ filter: z.string(), group: z.string(), hosts: z.int() })),
    })
    .optional(),
})
export type Decision = z.infer<typeof Decision>
