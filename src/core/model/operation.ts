import { type InstanceState, instanceStates } from './instance.ts'

type Kind = {
  /** The states of an instance from which it may begin. */
  readonly from: readonly InstanceState[]
  /** The state of the instance after success; undefined where the instance is gone then. */
  readonly to: InstanceState | undefined
  /** What `task` shows while it is open: derived from the open operation, never stored. */
  readonly task: string
  /** The named idempotent steps that the host takes, in order. `place` is the scheduler's. */
  readonly steps: readonly string[]
  /** Seconds from request to the end; past it the operation fails with the step that it had reached. */
  readonly deadlineSeconds: number
  /** Nova's word for it in event types: `instance.<event>.start|end|error`. */
  readonly event: string
  /**
   * What becomes of it when its host has no consumer on the bus: `fail` at once (its caller is told), or `wait` for the
   * host's return until the deadline.
   */
  readonly unreachable: 'fail' | 'wait'
}

/** What may be done to an instance, and from which state. The one table; there is no `if (state === …)` elsewhere. */
export const operationKinds = {
  boot: {
    from: ['BUILD', 'ERROR'],
    to: 'ACTIVE',
    task: 'spawning',
    steps: ['place', 'image', 'disk', 'start'],
    deadlineSeconds: 600,
    event: 'create',
    unreachable: 'fail',
  },
  pause: {
    from: ['ACTIVE'],
    to: 'PAUSED',
    task: 'pausing',
    steps: ['pause'],
    deadlineSeconds: 60,
    event: 'pause',
    unreachable: 'fail',
  },
  unpause: {
    from: ['PAUSED'],
    to: 'ACTIVE',
    task: 'unpausing',
    steps: ['unpause'],
    deadlineSeconds: 60,
    event: 'unpause',
    unreachable: 'fail',
  },
  suspend: {
    from: ['ACTIVE'],
    to: 'SUSPENDED',
    task: 'suspending',
    steps: ['suspend'],
    deadlineSeconds: 300,
    event: 'suspend',
    unreachable: 'fail',
  },
  resume: {
    from: ['SUSPENDED'],
    to: 'ACTIVE',
    task: 'resuming',
    steps: ['resume'],
    deadlineSeconds: 300,
    event: 'resume',
    unreachable: 'fail',
  },
  stop: {
    from: ['ACTIVE', 'PAUSED', 'SUSPENDED', 'ERROR'],
    to: 'SHUTOFF',
    task: 'powering-off',
    steps: ['stop'],
    deadlineSeconds: 180,
    event: 'power_off',
    unreachable: 'fail',
  },
  start: {
    from: ['SHUTOFF'],
    to: 'ACTIVE',
    task: 'powering-on',
    steps: ['start'],
    deadlineSeconds: 180,
    event: 'power_on',
    unreachable: 'fail',
  },
  reboot: {
    from: ['ACTIVE'],
    to: 'ACTIVE',
    task: 'rebooting',
    steps: ['reboot'],
    deadlineSeconds: 180,
    event: 'reboot',
    unreachable: 'fail',
  },
  'reboot-hard': {
    from: ['ACTIVE', 'PAUSED', 'SUSPENDED', 'SHUTOFF', 'ERROR'],
    to: 'ACTIVE',
    task: 'rebooting_hard',
    steps: ['reboot'],
    deadlineSeconds: 180,
    event: 'reboot',
    unreachable: 'fail',
  },
  delete: {
    from: instanceStates,
    to: undefined,
    task: 'deleting',
    steps: ['destroy'],
    deadlineSeconds: 86_400,
    event: 'delete',
    unreachable: 'wait',
  },
} as const satisfies Record<string, Kind>

export type OperationKind = keyof typeof operationKinds

/** The law of a kind, in its general shape. */
export const kindOf = (kind: OperationKind): Kind => operationKinds[kind]

/** The names of all kinds. */
export const kindNames = Object.keys(operationKinds) as OperationKind[]

/** The kinds that a face may ask for on an instance that exists (boot has a message of its own). */
export const beginnable = [
  'pause',
  'unpause',
  'suspend',
  'resume',
  'stop',
  'start',
  'reboot',
  'reboot-hard',
  'delete',
] as const satisfies OperationKind[]

/** The life of an operation. Open: queued (nobody has it) and running (a host holds its lease). */
export const operationStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
export type OperationState = (typeof operationStates)[number]

/** Whether an operation in this state has yet to end. */
export const isOpen = (state: OperationState): state is 'queued' | 'running' =>
  state === 'queued' || state === 'running'

/** The verb that leads from a state to where `kind` may begin: "web is PAUSED: unpause it first". */
export function verbBefore(kind: OperationKind, state: InstanceState): OperationKind | undefined {
  const steps: readonly OperationKind[] = ['unpause', 'resume', 'start', 'stop']
  return steps.find((verb) => {
    const law = kindOf(verb)
    return law.from.includes(state) && law.to !== undefined && kindOf(kind).from.includes(law.to)
  })
}
