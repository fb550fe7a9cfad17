import * as z from 'zod'
import { instanceStates } from '../model/instance.ts'
import { operationStates } from '../model/operation.ts'
import { quotaRecord } from '../model/quota.ts'
import { call, contract, read, since } from '../rpc/contract.ts'
import { BusBroker, BusQueue } from './broker.ts'
import { Begin, IdempotencyKey } from './kinds.ts'
import {
  Decision,
  diskFormats,
  Event,
  Flavor,
  Host,
  HostName,
  Id,
  Image,
  ImageFile,
  ImagePart,
  Instance,
  InstanceSummary,
  Metadata,
  Minimum,
  NewName,
  Operation,
  OperationSummary,
  Piece,
  Ref,
  Service,
  Size,
  Text,
  visibilities,
} from './shapes.ts'

/** How many rows a list gives at most (1000 if unset), and the id of the last row of the page before. */
const Page = { limit: z.int().min(1).max(10_000).optional(), marker: z.string().min(1).max(255).optional() }
/** Rows of a list; `more`: others come after them that no longer fit into the answer, whatever its limit was. */
const pageOf = <K extends string, T extends z.ZodType>(rows: K, row: T) =>
  z.object({ [rows]: z.array(row), more: z.boolean().optional() } as { [R in K]: z.ZodArray<T> } & {
    more: z.ZodOptional<z.ZodBoolean>
  })

/** A colon would begin the name of a host, as in `zone:host`. */
const ZoneName = z
  .string()
  .min(1)
  .max(255)
  .regex(/^[^:]*$/, 'a zone without colons')

/** Limits of a project in the words of Nova and Glance, memory and images in MiB; -1: no limit. */
const Limit = z.int().min(-1)
const Limits = z.object(quotaRecord(Limit.optional()))
/** What a project may use, what it uses, and which of its limits are its own. */
export const Quota = z.object({
  project: z.string(),
  limits: z.object(quotaRecord(Limit)),
  used: z.object(quotaRecord(z.int().nonnegative())),
  own: z.array(z.string()),
})
export type Quota = z.infer<typeof Quota>

/** What somebody wants to boot; what it leaves out the conductor chooses. */
export const BootRequest = z.object({
  name: NewName,
  /** Absent: the built-in image / the smallest flavor that the image fits; the answer says which was taken. */
  image: Ref.optional(),
  flavor: Ref.optional(),
  count: z.int().min(1, 'at least 1').max(1000, 'at most 1000').optional(),
  metadata: Metadata.optional(),
  /** Base64, at most 65,535 bytes of it, as the EC2 and OpenStack APIs have it. */
  userData: z.string().max(65_535).optional(),
  /** An OpenSSH public key line. */
  key: z.string().max(16_384).optional(),
  /** What the filters read; `same_host` and `different_host` name instances, by name or id, with commas between. */
  hints: Metadata.optional(),
  /** `zone`, or `zone:host` / `:host` to force the host (administrators). */
  availabilityZone: z.string().max(511).optional(),
  description: z.string().max(255).optional(),
  /** The same key twice within a day is the same request: the first answer is given again. */
  idempotencyKey: IdempotencyKey.optional(),
  /** Whether the answer is to say which of the names others have already. */
  findAlike: since('2.2', z.boolean()),
})
export type BootRequest = z.infer<typeof BootRequest>

/** An operation that was begun, and on what. */
export const Begun = z.object({ operation: Id, instance: z.object({ id: Id, name: z.string() }) })
export type Begun = z.infer<typeof Begun>

/** Everything that clients (the command line, the dashboard, the APIs) may ask of the cloud. Conductors answer; they keep the database. */
export const conductor = contract('conductor', '2.2', {
  /**
   * Begins the life of one or `count` instances, all of them or none. `alike`: names that instances of the project had before,
   * a few of them, if the request asks. `QuotaExceeded`; what the wish names and is not there; `HostUnreachable` if no
   * scheduler listens: nothing is left behind then.
   */
  boot: call(
    BootRequest,
    z.object({ begun: z.array(Begun), image: z.string(), flavor: z.string(), alike: z.array(z.string()).optional() }),
  ),
  /** Where it would go and why; nothing is written. Refuses what `boot` would. */
  bootDryRun: read(BootRequest, z.object({ decision: Decision, image: z.string(), flavor: z.string() })),
  /**
   * Begins an operation on an instance: the row first, the message to its host second. `InstanceBusy`,
   * `InstanceInvalidState`; `NoValidHost` if an instance is to move and no host could take it; `HostUnreachable` if its host
   * does not listen, and the operation has failed then.
   */
  begin: call(Begin, Begun),

  /** The caller's instances, newest first; those of all projects for administrators. */
  instanceList: read(
    z.object({
      ...Page,
      name: Text.optional(),
      status: z.enum(instanceStates).optional(),
      host: Text.optional(),
      flavor: Text.optional(),
      image: Text.optional(),
      /** Only these, as far as they are there. */
      ids: z.array(Id).min(1).max(1_000).optional(),
      allProjects: z.boolean().optional(),
      /** Rows of instance_history instead: what was deleted. */
      deleted: z.boolean().optional(),
    }),
    pageOf('instances', InstanceSummary),
  ),
  /** All that is known of one instance, with its open operation. */
  instanceShow: read(z.object({ instance: Ref }), Instance),
  /** Gives an instance another name; the guest's own host name stays. */
  instanceRename: call(z.object({ instance: Ref, name: NewName }), Instance),
  /** What the guest wrote to its serial console, asked of its host. `HostUnreachable`. */
  consoleLog: read(z.object({ instance: Ref, lines: z.int().positive().optional() }), z.object({ text: z.string() })),
  /** The scheduler's record of how the instance came to its host, or why it did not. */
  explain: read(
    z.object({ instance: Ref }),
    z.object({ instance: InstanceSummary, decision: Decision.optional(), operation: OperationSummary.optional() }),
  ),

  /** Flavors, the smallest first. */
  flavorList: read(z.object(Page), pageOf('flavors', Flavor)),
  /** One flavor, by name or id. */
  flavorShow: read(z.object({ flavor: Ref }), Flavor),
  /** Makes a flavor (administrators). `FlavorExists`. */
  flavorCreate: call(z.object({ name: NewName, ...Size.shape }), Flavor),
  /** Removes a flavor (administrators); instances keep the size that they were made with. */
  flavorDelete: call(z.object({ flavor: Ref }), z.object({ id: z.string(), name: z.string() })),

  /**
   * The caller's images and the public ones by name (administrators: all), those that are still being uploaded
   * too; their metadata is left out (`imageShow` has it).
   */
  imageList: read(z.object(Page), pageOf('images', Image)),
  /** One image, by id or by name: the caller's own before a public one. `AmbiguousName`. */
  imageShow: read(z.object({ image: Ref }), Image),
  /**
   * Announces an image and the checksums of its files; `missing` says which files are to be sent: all that the project has
   * not sent before. Said again it goes on with what is begun. `ImageExists` (names are unique in a project);
   * `QuotaExceeded`; `InvalidRequest` if the disk of the images has no room.
   */
  imageCreate: call(
    z.object({
      name: NewName,
      diskFormat: z.enum(diskFormats).optional(),
      files: z.partialRecord(ImagePart, ImageFile),
      minMemoryMb: Minimum.optional(),
      minDiskGb: Minimum.optional(),
      metadata: Metadata.optional(),
      /** Whose it is to see: `public`, for administrators to say, or its project's. `private` if unset. */
      visibility: since('2.2', z.enum(visibilities)),
    }),
    z.object({ image: Image, missing: z.array(ImagePart) }),
  ),
  /**
   * Writes a piece of a file (base64) at an offset; repeating it is harmless. The last piece completes and
   * checks the file. `ImageCorrupt`; `InvalidRequest` if the file is no disk that guests can start from: the image is gone then.
   */
  imageWrite: call(
    z.object({ image: Id, part: ImagePart, offset: z.int().nonnegative(), data: Piece }),
    z.object({ status: z.string() }),
  ),
  /**
   * Removes an image (its project's, or administrators), and those of its files that no other image has; `operation` has the
   * hosts remove them from their caches. The same idempotency key twice within a day is the same request, as with `begin`.
   */
  imageDelete: call(
    z.object({ image: Ref, idempotencyKey: since('2.1', IdempotencyKey) }),
    z.object({ id: Id, name: z.string(), operation: Id.optional() }),
  ),

  /** What a project may use, and uses: the caller's own unless an administrator names another. */
  quotaShow: read(z.object({ project: Text.min(1).optional() }), Quota, '2.2'),
  /** The same of all projects whose quota was ever counted or set, by id (administrators); `marker` is an id. */
  quotaList: read(z.object(Page), pageOf('quotas', Quota), '2.2'),
  /** Gives a project limits of its own (administrators); what is not named stays. -1: no limit. */
  quotaSet: call(z.object({ project: Text.min(1), limits: Limits }), Quota, '2.2'),

  /** Daemons by id (`compute@host1`), and whether they are up (administrators). */
  serviceList: read(z.object(Page), pageOf('services', Service)),
  /** Takes a compute host out of scheduling, or back in (administrators). `ServiceNotFound`. */
  serviceSet: call(
    z.object({
      host: HostName,
      binary: Text.optional(),
      enabled: z.boolean(),
      reason: z.string().max(255).optional(),
    }),
    Service,
  ),
  /** Hosts by name, with what is used of them and what may be promised (administrators); `marker` is a name. */
  hostList: read(z.object(Page), pageOf('hosts', Host)),
  /** One host and the instances on it (administrators). */
  hostShow: read(z.object({ host: HostName }), z.object({ host: Host, instances: z.array(InstanceSummary) })),
  /**
   * Moves a host into an availability zone (administrators); the zone in its configuration is only its first. `HostInUse` if
   * instances are on it, `HostNotFound`.
   */
  hostSet: call(z.object({ host: HostName, availabilityZone: ZoneName }), Host, '2.1'),
  /** The next time that the host says that it has more than it was known to have, that counts (administrators). `HostNotFound`. */
  hostAcceptCapacity: call(z.object({ host: HostName }), Host, '2.2'),
  /**
   * Gives a host a login of its own on the bus (administrators); one that it had (`known`) counts no more. `url` is absent
   * if the broker listens for no other machine. `ManagementFailed`.
   */
  hostAdd: call(
    z.object({ host: HostName }),
    z.object({
      host: z.string(),
      user: z.string(),
      password: z.string(),
      url: z.string().optional(),
      known: z.boolean(),
    }),
  ),
  /** Takes a host's login away and forgets the host (administrators). `HostInUse` if it is up or has instances, `HostNotFound`. */
  hostDelete: call(z.object({ host: HostName }), z.object({ host: z.string(), user: z.string().optional() })),

  /** The caller's operations, newest first; everybody's for administrators. */
  operationList: read(
    z.object({
      ...Page,
      instance: Ref.optional(),
      state: z.enum(operationStates).optional(),
      open: z.boolean().optional(),
    }),
    pageOf('operations', OperationSummary),
  ),
  /** The operation whose id begins so, with eight characters or more. `OperationNotFound`; `AmbiguousName`. */
  operationFind: read(z.object({ operation: Ref }), z.object({ id: Id }), '2.2'),
  /** One operation with its steps. `OperationNotFound`. */
  operationShow: read(z.object({ operation: Id }), Operation),
  /** Ends an operation: one that waits at once, one that runs at its next step. `OperationNotOpen`. */
  operationCancel: call(z.object({ operation: Id }), OperationSummary),
  /** Does again, as a new operation, what failed or was cancelled. `OperationNotOpen` if it has succeeded. */
  operationRetry: call(z.object({ operation: Id }), Begun),

  /**
   * What has happened, oldest first: the newest `limit` events, or the oldest after a number. Events are numbered before
   * they are committed, so on MySQL one with a lower number may appear a moment later: who follows asks for some numbers
   * before the last again, too. Events of hosts, services and queues are for administrators.
   */
  eventList: read(
    z.object({
      limit: z.int().min(1).max(10_000).optional(),
      after: z.int().nonnegative().optional(),
      instance: Ref.optional(),
    }),
    pageOf('events', Event),
  ),

  /** The broker and all its queues, each with the service that it belongs to (administrators). `ManagementFailed`. */
  busStatus: read(
    z.object({}),
    z.object({
      broker: BusBroker,
      queues: z.array(
        BusQueue.extend({
          /** Whose it is, in words: "compute on host1". */
          owner: z.string(),
          /** What to do about it; absent if nothing is wrong. */
          advice: z.string().optional(),
        }),
      ),
    }),
  ),
  /**
   * Throws away what waits in a queue (administrators). Operations are not lost by it: their messages are sent again.
   * `QueueNotFound`, `InvalidRequest` for queues of answers and of events, `ManagementFailed`.
   */
  busPurge: call(z.object({ queue: z.string().min(1).max(255) }), z.object({ messages: z.int().nonnegative() })),

  /**
   * Counts and versions for `nova status`. Administrators get the whole cloud; others the counts of their project, and no
   * `services`, whose ids name hosts: `daemons` counts those for everybody.
   */
  status: read(
    z.object({}),
    z.object({
      version: z.string(),
      database: z.object({ dialect: z.string(), version: z.string(), migration: z.string() }),
      /** The first 10,000 of them. */
      services: z.array(Service),
      /** How many daemons of each binary are up, degraded and down. */
      daemons: z.record(z.string(), z.object({ up: z.int(), degraded: z.int(), down: z.int() })).optional(),
      instances: z.record(z.string(), z.int()),
      operations: z.record(z.string(), z.int()),
      hosts: z.object({ up: z.int(), degraded: z.int().optional(), down: z.int(), disabled: z.int() }),
    }),
  ),
  /** Answers as soon as a conductor with its database is there. */
  ping: read(z.object({}), z.object({ version: z.string(), now: z.int() })),
})
