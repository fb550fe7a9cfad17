import * as z from 'zod'
import { powerStates } from '../model/instance.ts'
import { call, contract, since } from '../rpc/contract.ts'
import { Results } from './kinds.ts'
import {
  diskFormats,
  Fault,
  HostName,
  Id,
  ImageFile,
  ImagePart,
  Metadata,
  Nics,
  Progress,
  Size,
  Versions,
  Word,
} from './shapes.ts'

/** Services of hosts; each has a queue `<service>.<host>`. */
const hostServices = ['compute'] as const
export type HostService = (typeof hostServices)[number]

/**
 * Which process speaks: the service, its host, and one life of the daemon (`incarnation`). A new life takes over what the
 * old one held.
 */
const Speaker = { service: z.enum(hostServices), host: HostName, incarnation: Word }

/** Everything that an executor needs to carry out its leg of an operation; it asks for nothing else. */
export const Work = z.object({
  operation: z.object({
    id: Id,
    /** A kind that this host does not know is refused with `UnsupportedVersion`. */
    kind: Word,
    role: Word,
    /** The steps to take, or to undo, in order; the first one is recorded already. */
    steps: z.array(Word).min(1).max(32),
    undo: z.boolean(),
    attempt: z.int().positive(),
    requestId: z.string(),
    deadline: z.int(),
    leaseUntil: z.int(),
    /** As the kind's row of `resolvedArgs` has them. */
    args: z.record(z.string(), z.unknown()),
    results: Results,
  }),
  subject: z.object({ kind: Word, id: Id, name: z.string() }),
  /** Absent if the subject is not an instance. */
  instance: z
    .object({
      id: Id,
      name: z.string(),
      /** The status in which the operation found it. */
      before: Word,
      size: Size,
      metadata: Metadata,
      userData: z.string().optional(),
      key: z.string().optional(),
      generation: z.int().nonnegative(),
      /** Absent from a conductor that is older than 2.1: the guest has no card. */
      nics: Nics.optional(),
    })
    .optional(),
  /** Absent also if the image was deleted since; then only what builds a disk needs it, and fails. */
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

/** How many operations a host may hold. */
const heldMax = 10_000

/** What any host service may say to the conductors: on a topic of its own, one of the few that a host's login may send to. */
export const agent = contract('agent', '2.1', {
  /**
   * A daemon has started, or its link to the bus has come back. `hostId` is the identity kept in the host's state
   * directory; `contracts` is what the daemon understands. Answers with the open operations that it should take up. `HostMismatch` if the name is another machine's.
   */
  hello: call(
    z.object({ ...Speaker, hostId: Word, version: Word, contracts: Versions.optional() }),
    z.object({
      operations: z.array(Id),
      /** What every conductor that is up understands: a host says nothing newer. */
      contracts: Versions.optional(),
    }),
  ),
  /**
   * Alive; renews the leases of `operations`. Those not to go on with come back. `silentMs`: how long ago the host last heard
   * itself through the broker. `contracts`: what it understands itself.
   */
  heartbeat: call(
    z.object({
      ...Speaker,
      operations: z.array(z.object({ id: Id, progress: since('2.1', Progress) })).max(heldMax),
      silentMs: z.int().nonnegative().optional(),
      contracts: Versions.optional(),
    }),
    z.object({ lost: z.array(Id), cancelled: z.array(Id), leaseUntil: z.int(), contracts: Versions.optional() }),
  ),
  /**
   * Takes the leg of an operation that is this host's (compare and set). The life that holds it may ask again, for what
   * others have found out since. `OperationLost` if it is another's, or is over.
   */
  claim: call(z.object({ ...Speaker, operation: Id }), Work),
  /**
   * The executor has come to a step, or to undoing it; recorded before anything is done. `result` is for the other executors of
   * the operation, who are told. `OperationCancelled` ends it here.
   */
  step: call(
    z.object({
      ...Speaker,
      operation: Id,
      step: Word,
      attempt: z.int().positive(),
      undo: z.boolean().optional(),
      result: Results.optional(),
    }),
    z.object({ leaseUntil: z.int() }),
  ),
  /**
   * The leg is over, with the guest's power state as it is, or with a fault. `undo` in the answer: what was done here is to
   * be undone now, these steps in this order, and finished once more with `undone`. Saying it twice is harmless.
   */
  finish: call(
    z.object({
      ...Speaker,
      operation: Id,
      power: z.enum(powerStates).optional(),
      fault: Fault.optional(),
      cancelled: z.boolean().optional(),
      undone: z.boolean().optional(),
    }),
    z.object({ undo: z.array(Word).optional() }),
  ),
  /** A clean stop: the service is down from now on, its leases are free. */
  bye: call(z.object({ ...Speaker }), z.object({})),
})
