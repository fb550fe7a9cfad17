import * as z from 'zod'
import { powerStates } from '../model/instance.ts'
import { kindNames } from '../model/operation.ts'
import { call, contract, since } from '../rpc/contract.ts'
import { diskFormats, Fault, HostName, Id, ImageFile, ImagePart, Metadata, Size } from './shapes.ts'

/** Which process speaks: the host's name and one life of its daemon. A new life takes over what the old one held. */
const Self = { host: HostName, incarnation: z.string().min(1) }

/** Everything that a host needs to carry out an operation; it asks for nothing else. */
export const Work = z.object({
  operation: z.object({
    id: Id,
    kind: z.enum(kindNames),
    /** The step to go on from: the first one that was not passed yet. */
    step: z.string(),
    attempt: z.int().positive(),
    requestId: z.string(),
    deadline: z.int(),
    leaseUntil: z.int(),
  }),
  instance: z.object({
    id: Id,
    name: z.string(),
    size: Size,
    metadata: Metadata,
    userData: z.string().optional(),
    key: z.string().optional(),
    generation: z.int().nonnegative(),
  }),
  /** Absent only where the image was deleted since; then only a boot needs it, and fails. */
  image: z
    .object({
      id: Id,
      name: z.string(),
      diskFormat: z.enum(diskFormats).optional(),
      files: z.partialRecord(ImagePart, ImageFile),
    })
    .optional(),
})
export type Work = z.infer<typeof Work>

const HostReport = z.object({
  driver: z.string(),
  hypervisor: z.string(),
  hypervisorVersion: z.string(),
  accelerator: z.string(),
  total: Size,
})

/** What a hypervisor has to say, in a line. */
const Words = z.string().max(1000)

/** The versions of contracts, by topic. */
const Versions = z.record(z.string(), z.string())

/** What a compute host may say to the conductors: on a topic of its own, the only one that a host's bus user may send to. */
export const agent = contract('agent', '1.2', {
  /**
   * A daemon has started: its host exists from now on. `hostId` is the identity kept in the host's state directory.
   * Answers with the instances that belong here and the open operations that it should take up. `HostMismatch` where
   * the name is another machine's.
   */
  hello: call(
    z.object({
      ...Self,
      hostId: z.string().min(1),
      version: z.string(),
      availabilityZone: z.string(),
      report: HostReport,
    }),
    z.object({
      operations: z.array(Id),
      instances: z.array(z.object({ id: Id, state: z.string(), power: z.enum(powerStates), generation: z.int() })),
      /** What every conductor that is up understands: a host says nothing newer. */
      contracts: Versions.optional(),
    }),
  ),
  /**
   * Alive, with fresh numbers; renews the leases of `operations`. Those not to go on with come back. `deafMs`: how long ago
   * the host last heard itself through the broker. `contracts`: what it understands itself. `acceleratorWhy`: why the
   * report's accelerator is that one.
   */
  heartbeat: call(
    z.object({
      ...Self,
      report: HostReport.optional(),
      operations: z.array(Id),
      silentMs: since('1.1', z.int().nonnegative()),
      contracts: since('1.1', Versions),
      acceleratorWhy: since('1.2', Words),
    }),
    z.object({ lost: z.array(Id), cancelled: z.array(Id), leaseUntil: z.int(), contracts: Versions.optional() }),
  ),
  /** Takes an operation for this host (compare and set). `OperationLost` where it is another's, or is over. */
  claim: call(z.object({ ...Self, operation: Id }), Work),
  /** The operation has come to a step; it is recorded before the step is taken. `OperationCancelled` ends it here. */
  step: call(z.object({ ...Self, operation: Id, step: z.string() }), z.object({ leaseUntil: z.int() })),
  /** The operation is over, with the guest's power state as it is, or with a fault. Saying it twice is harmless. */
  finish: call(
    z.object({
      ...Self,
      operation: Id,
      power: z.enum(powerStates),
      fault: Fault.optional(),
      cancelled: z.boolean().optional(),
    }),
    z.object({}),
  ),
  /**
   * Guests that changed by themselves. Ignored for an instance with an open operation. `lastWords`: what the hypervisor
   * itself said of those that crashed, by their ids.
   */
  power: call(
    z.object({
      ...Self,
      changes: z.array(z.object({ id: Id, power: z.enum(powerStates) })),
      lastWords: since('1.2', z.record(Id, Words)),
    }),
    z.object({}),
  ),
  /** A piece of an image file as base64; an empty one is the end. */
  imageRead: call(
    z.object({
      image: Id,
      part: ImagePart,
      offset: z.int().nonnegative(),
      length: z
        .int()
        .positive()
        .max(4 << 20),
    }),
    z.object({ data: z.base64() }),
  ),
  /** A clean stop: the service is down from now on, its leases are free. */
  bye: call(z.object({ ...Self }), z.object({})),
})
