/** The states in which an instance rests. What is being done to it is its open operation, never stored here. */
export const instanceStates = [
  'BUILD',
  'ACTIVE',
  'PAUSED',
  'SUSPENDED',
  'SHUTOFF',
  'RESIZED',
  'RESCUED',
  'SHELVED',
  'SHELVED_OFFLOADED',
  'SOFT_DELETED',
  'ERROR',
] as const
export type InstanceState = (typeof instanceStates)[number]

/** What the hypervisor says of a guest, apart from what the cloud intends. NOSTATE: no such guest on this host. */
export const powerStates = ['NOSTATE', 'RUNNING', 'PAUSED', 'SHUTDOWN', 'SUSPENDED', 'CRASHED'] as const
export type PowerState = (typeof powerStates)[number]

/** A status that follows the power of the guest. */
const followsPower: Readonly<Record<PowerState, InstanceState>> = {
  NOSTATE: 'SHUTOFF',
  RUNNING: 'ACTIVE',
  PAUSED: 'PAUSED',
  SHUTDOWN: 'SHUTOFF',
  SUSPENDED: 'SUSPENDED',
  CRASHED: 'ERROR',
}

/**
 * What an instance at rest becomes if its guest is found in a power state; a power that is not named changes nothing.
 * Only the ordinary states follow the power of the guest: what a user asked for (a resize to confirm, a rescue, a shelved
 * instance) is stored, and a look at the hypervisor never undoes it.
 */
const seenPower: Readonly<Record<InstanceState, Readonly<Partial<Record<PowerState, InstanceState>>>>> = {
  BUILD: {},
  ACTIVE: followsPower,
  PAUSED: followsPower,
  SUSPENDED: followsPower,
  SHUTOFF: followsPower,
  RESIZED: { CRASHED: 'ERROR' },
  RESCUED: { NOSTATE: 'ERROR', CRASHED: 'ERROR' },
  SHELVED: {},
  SHELVED_OFFLOADED: {},
  SOFT_DELETED: {},
  // That there is no guest does not heal an error; a guest that is there does.
  ERROR: { RUNNING: 'ACTIVE', PAUSED: 'PAUSED', SUSPENDED: 'SUSPENDED' },
}

/** The status of an instance at rest after its guest was seen in this power state. */
export const statusSeen = (status: InstanceState, power: PowerState): InstanceState =>
  seenPower[status][power] ?? status

/** What an instance takes from its host and from its project's quota: memory in MiB, disk in GiB. */
export type Size = { vcpus: number; memoryMb: number; diskGb: number }
