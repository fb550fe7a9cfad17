import * as z from 'zod'
import { powerStates } from '../model/instance.ts'
import { call, contract, since } from '../rpc/contract.ts'
import { HostCgroups, HostName, Id, ImagePart, Piece, pieceMax, recordOf, Size, Word } from './shapes.ts'

/** A compute daemon in one of its lives; see the contract `agent`. */
const Self = { host: HostName, incarnation: Word }

/** What a compute host has to give, before any overcommit. */
export const HostReport = z.object({
  driver: Word,
  hypervisor: z.string().max(255),
  hypervisorVersion: z.string().max(255),
  accelerator: Word,
  total: Size,
  cgroups: since('2.2', HostCgroups),
})
export type HostReport = z.infer<typeof HostReport>

/** What a hypervisor has to say, in a line. */
export const lastWordsMax = 1_000
const Words = z.string().max(lastWordsMax)
/** Of so many guests at once; the message of all of them still fits into one of the bus. */
export const lastWordsGuests = 1_000

/** Guests that a host may have. */
const guestsMax = 100_000

/** What a compute host may say to the conductors beside the contract `agent`. */
export const computeAgent = contract('compute_agent', '2.2', {
  /**
   * What the host has and which guests are on it. A host that reports for the first time exists from now on. Answers with
   * the instances that belong here, and with guests that are not its own any more (`remove`): they run elsewhere, or were
   * deleted. A guest that the conductor has never heard of is neither.
   */
  join: call(
    z.object({
      ...Self,
      hostId: Word,
      availabilityZone: z.string().min(1).max(255),
      report: HostReport,
      guests: z.array(z.object({ id: Id, generation: z.int().nonnegative() })).max(guestsMax),
    }),
    z.object({
      instances: z.array(z.object({ id: Id, status: Word, power: z.enum(powerStates), generation: z.int() })),
      remove: z.array(Id),
    }),
  ),
  /** Fresh numbers. `acceleratorWhy`: why the accelerator is that one. */
  report: call(z.object({ ...Self, report: HostReport, acceleratorWhy: Words.optional() }), z.object({})),
  /** Guests that {@link computeAgent} `join` told it to remove are gone: their room is free. */
  removed: call(z.object({ ...Self, instances: z.array(Id).max(guestsMax) }), z.object({})),
  /**
   * Guests that changed by themselves. Ignored for an instance with an open operation. `lastWords`: what the hypervisor
   * itself said of those that crashed, by their ids.
   */
  power: call(
    z.object({
      ...Self,
      changes: z.array(z.object({ id: Id, power: z.enum(powerStates) })).max(guestsMax),
      lastWords: recordOf(Id, Words, lastWordsGuests).optional(),
    }),
    z.object({}),
  ),
  /** A piece of an image file as base64; an empty one is the end. */
  imageRead: call(
    z.object({
      image: Id,
      part: ImagePart,
      offset: z.int().nonnegative(),
      length: z.int().positive().max(pieceMax),
    }),
    z.object({ data: Piece }),
  ),
})
