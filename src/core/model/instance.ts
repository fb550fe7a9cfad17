/** The states in which an instance rests. What it is doing at the moment is its open operation, never stored here. */
export const instanceStates = ['BUILD', 'ACTIVE', 'PAUSED', 'SUSPENDED', 'SHUTOFF', 'ERROR'] as const
export type InstanceState = (typeof instanceStates)[number]

/** What the hypervisor says of a guest, apart from what the cloud intends. NOSTATE: no such guest on this host. */
export const powerStates = ['NOSTATE', 'RUNNING', 'PAUSED', 'SHUTDOWN', 'SUSPENDED', 'CRASHED'] as const
export type PowerState = (typeof powerStates)[number]

/** The state in which an instance rests when its guest is found in a power state and no operation is open. */
export const restingState: Readonly<Record<PowerState, InstanceState>> = {
  NOSTATE: 'SHUTOFF',
  RUNNING: 'ACTIVE',
  PAUSED: 'PAUSED',
  SHUTDOWN: 'SHUTOFF',
  SUSPENDED: 'SUSPENDED',
  CRASHED: 'ERROR',
}

/** What an instance takes from its host and from its project's quota. */
export type Size = { vcpus: number; memoryMb: number; diskGb: number }
