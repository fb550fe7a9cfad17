import type { InstanceState, PowerState } from '../model/instance.ts'

/** Nova's names for what has another name here: nova/objects/fields.py, InstanceState and InstancePowerState. */
export const stateWords: Readonly<Record<InstanceState, string>> = {
  BUILD: 'building',
  ACTIVE: 'active',
  PAUSED: 'paused',
  SUSPENDED: 'suspended',
  SHUTOFF: 'stopped',
  RESIZED: 'resized',
  RESCUED: 'rescued',
  SHELVED: 'shelved',
  SHELVED_OFFLOADED: 'shelved_offloaded',
  SOFT_DELETED: 'soft-delete',
  ERROR: 'error',
}

export const powerWords: Readonly<Record<PowerState, string>> = {
  NOSTATE: 'pending',
  RUNNING: 'running',
  PAUSED: 'paused',
  SHUTDOWN: 'shutdown',
  SUSPENDED: 'suspended',
  CRASHED: 'crashed',
}

/** The power state that Nova reports for an instance at rest in a state; ERROR says nothing about the power. */
export const powerIn: Readonly<Partial<Record<InstanceState, PowerState>>> = {
  BUILD: 'NOSTATE',
  ACTIVE: 'RUNNING',
  PAUSED: 'PAUSED',
  SUSPENDED: 'SUSPENDED',
  SHUTOFF: 'SHUTDOWN',
}

/** A time as versioned objects write it: seconds and Z. */
export const versionedTime = (at: number | undefined): string | null =>
  at === undefined ? null : `${new Date(at).toISOString().slice(0, 19)}Z`

/** A time as unversioned payloads write it: microseconds, no zone; empty if there is none. */
export const plainTime = (at: number | undefined): string =>
  at === undefined ? '' : `${new Date(at).toISOString().slice(0, -1)}000`

/** A time as Python's `str` prints one in UTC. */
export const printedTime = (at: number): string => `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')}+00:00`

/** The day's audit period that a time is in: from midnight to now. */
export const dayOf = (at: number): { from: number; to: number } => ({ from: at - (at % 86_400_000), to: at })
