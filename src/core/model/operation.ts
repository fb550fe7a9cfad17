import { type InstanceState, instanceStates, type Size } from './instance.ts'

/** Who carries out a step. */
export type Role =
  /** Any scheduler: finds a host and claims room there. */
  | 'scheduler'
  /** The conductor, in the transaction that records the leg before. */
  | 'conductor'
  /** The host of the instance. */
  | 'host'
  /** The host that the instance is on when the operation begins. */
  | 'source'
  /** The host that a scheduler has chosen for it. */
  | 'target'
  /** Every host that may hold something of the instance. */
  | 'holders'
  /** Every compute host that is up. */
  | 'computes'

/** The services that carry out steps, each with a queue `<service>.<host>`. */
export type Service = 'scheduler' | 'compute'

/** Whose queue hears of a leg at this place. */
export const serviceOf = (role: Role): Service => (role === 'scheduler' ? 'scheduler' : 'compute')

/** A named, idempotent step of an operation. */
type StepSpec = {
  readonly name: string
  readonly at: Role
  /** Steps of one stage are open at the same time, one leg for each place. If unset, consecutive steps of one place are a stage. */
  readonly stage?: string
  /** It leaves something behind that is taken back if the operation fails. */
  readonly undo?: boolean
  /** Until this step is undone, nothing before it may be: its host could have a copy that runs. */
  readonly fence?: boolean
  /** From here on there is no way back: what fails is left for the host's return, and the operation succeeds. */
  readonly final?: boolean
}

/** Everything that the engine knows of a kind of operation. There is no `kind ===` elsewhere. */
export type Kind = {
  /** What it acts on. */
  readonly subject: 'instance' | 'image'
  /** The states of an instance from which it may begin. */
  readonly from: readonly InstanceState[]
  /** The state of the instance after success; `before`: the one that it had; undefined: the instance is gone. */
  readonly to: InstanceState | 'before' | undefined
  /** What has become of the subject after success, if `to` does not say it. */
  readonly done?: string
  /** What `task` shows while it is open: derived from the open operation, never stored. */
  readonly task: string
  readonly steps: readonly StepSpec[]
  /** Seconds from request to the end, and more for each GiB of the instance's disk if bytes are moved. */
  readonly deadline: { readonly seconds: number; readonly perGib?: number }
  /** Nova's word for it in event types: `<subject>.<event>.start|end|error`. */
  readonly event: string
  /**
   * What becomes of it if its host has no consumer on the bus: `fail` at once (its caller is told), or `wait` for the
   * host's return until the deadline.
   */
  readonly unreachable: 'fail' | 'wait'
  /** After a failure that is the host's own it is placed again, on another host. */
  readonly retryElsewhere: boolean
  /**
   * What a failure does to the instance: it stays as its guest is found, or it is in ERROR; `torn`: in ERROR as soon as a
   * host has begun, because what that host had of it may be gone.
   */
  readonly onFailure: 'stay' | 'ERROR' | 'torn'
  /** It ends whatever is open on its subject and takes its place. */
  readonly preempts: boolean
  /** Only for an instance that has never run. */
  readonly first?: boolean
  /** The version of the hosts' contract (`compute`) that knows it: an older host is not asked. */
  readonly since: string
}

/** What most kinds have in common: one step on the instance's host, nothing to take back. */
const simple = {
  subject: 'instance',
  unreachable: 'fail',
  retryElsewhere: false,
  onFailure: 'stay',
  preempts: false,
  since: '2.0',
} as const

/** What may be done, to what, and from which state: the one table. */
export const operationKinds = {
  boot: {
    ...simple,
    from: ['BUILD', 'ERROR'],
    to: 'ACTIVE',
    task: 'spawning',
    steps: [
      { name: 'place', at: 'scheduler', undo: true },
      { name: 'image', at: 'host', undo: true },
      { name: 'disk', at: 'host', undo: true },
      { name: 'start', at: 'host' },
    ],
    deadline: { seconds: 600 },
    event: 'create',
    retryElsewhere: true,
    onFailure: 'ERROR',
    first: true,
  },
  pause: {
    ...simple,
    from: ['ACTIVE'],
    to: 'PAUSED',
    task: 'pausing',
    steps: [{ name: 'pause', at: 'host' }],
    deadline: { seconds: 60 },
    event: 'pause',
  },
  unpause: {
    ...simple,
    from: ['PAUSED'],
    to: 'ACTIVE',
    task: 'unpausing',
    steps: [{ name: 'unpause', at: 'host' }],
    deadline: { seconds: 60 },
    event: 'unpause',
  },
  suspend: {
    ...simple,
    from: ['ACTIVE'],
    to: 'SUSPENDED',
    task: 'suspending',
    steps: [{ name: 'suspend', at: 'host' }],
    deadline: { seconds: 300 },
    event: 'suspend',
  },
  resume: {
    ...simple,
    from: ['SUSPENDED'],
    to: 'ACTIVE',
    task: 'resuming',
    steps: [{ name: 'resume', at: 'host' }],
    deadline: { seconds: 300 },
    event: 'resume',
  },
  stop: {
    ...simple,
    from: ['ACTIVE', 'PAUSED', 'SUSPENDED', 'ERROR'],
    to: 'SHUTOFF',
    task: 'powering-off',
    steps: [{ name: 'stop', at: 'host' }],
    deadline: { seconds: 180 },
    event: 'power_off',
  },
  start: {
    ...simple,
    from: ['SHUTOFF'],
    to: 'ACTIVE',
    task: 'powering-on',
    steps: [{ name: 'start', at: 'host' }],
    deadline: { seconds: 180 },
    event: 'power_on',
  },
  reboot: {
    ...simple,
    from: ['ACTIVE'],
    to: 'ACTIVE',
    task: 'rebooting',
    steps: [{ name: 'reboot', at: 'host' }],
    deadline: { seconds: 180 },
    event: 'reboot',
  },
  'reboot-hard': {
    ...simple,
    from: ['ACTIVE', 'PAUSED', 'SUSPENDED', 'SHUTOFF', 'ERROR'],
    to: 'ACTIVE',
    task: 'rebooting_hard',
    steps: [{ name: 'reboot', at: 'host' }],
    deadline: { seconds: 180 },
    event: 'reboot',
  },
  migrate: {
    ...simple,
    from: ['ACTIVE', 'SHUTOFF'],
    to: 'before',
    done: 'migrated',
    task: 'migrating',
    steps: [
      { name: 'place', at: 'scheduler', undo: true },
      { name: 'prepare', at: 'target', undo: true },
      { name: 'receive', at: 'target', stage: 'move', undo: true },
      { name: 'stop', at: 'source', stage: 'move', undo: true },
      { name: 'send', at: 'source', stage: 'move' },
      { name: 'switch', at: 'conductor', undo: true },
      { name: 'start', at: 'target', undo: true, fence: true },
      { name: 'clean', at: 'source', final: true },
    ],
    deadline: { seconds: 600, perGib: 60 },
    event: 'migrate',
    since: '2.1',
  },
  delete: {
    ...simple,
    from: instanceStates,
    to: undefined,
    done: 'deleted',
    task: 'deleting',
    steps: [{ name: 'destroy', at: 'holders' }],
    deadline: { seconds: 86_400 },
    event: 'delete',
    unreachable: 'wait',
    onFailure: 'torn',
    preempts: true,
  },
  'delete-image': {
    ...simple,
    subject: 'image',
    from: [],
    to: undefined,
    done: 'deleted',
    task: 'deleting',
    steps: [{ name: 'uncache', at: 'computes', final: true }],
    deadline: { seconds: 600 },
    event: 'delete',
    unreachable: 'wait',
    since: '2.1',
  },
} as const satisfies Record<string, Kind>

export type OperationKind = keyof typeof operationKinds

/** The row of a kind, in its general shape. */
export const kindOf = (kind: OperationKind): Kind => operationKinds[kind]

/** What has become of the subject after success, in a word. */
export const doneWord = (kind: OperationKind): string => kindOf(kind).done ?? kindOf(kind).to ?? 'done'

/** The names of all kinds. */
export const kindNames = Object.keys(operationKinds) as OperationKind[]

/** The steps of one place that are open together with those of other places; one executor carries them out in a row. */
export type Leg = { readonly at: Role; readonly steps: readonly StepSpec[] }

/** Legs that are open at the same time; the next stage begins when all of them are done. */
export type Stage = { readonly legs: readonly Leg[]; readonly final: boolean }

const stages = new Map<OperationKind, readonly Stage[]>()

/** The stages of a kind, in order; derived from its steps once. */
export function stagesOf(kind: OperationKind): readonly Stage[] {
  const known = stages.get(kind)
  if (known) return known
  const groups: StepSpec[][] = []
  for (const step of kindOf(kind).steps) {
    const last = groups.at(-1)
    const before = last?.at(-1)
    const together = before && before.stage === step.stage && (step.stage !== undefined || before.at === step.at)
    if (last && together && before.final === step.final) last.push(step)
    else groups.push([step])
  }
  const made = groups.map((steps): Stage => {
    const places = [...new Set(steps.map(({ at }) => at))]
    return {
      legs: places.map((at) => ({ at, steps: steps.filter((step) => step.at === at) })),
      final: steps.some(({ final }) => final === true),
    }
  })
  stages.set(kind, made)
  return made
}

/** The stage that a scheduler opens; undefined for a kind that is not placed. */
export const placedBy = (kind: OperationKind): number | undefined => {
  const at = stagesOf(kind).findIndex(({ legs }) => legs.some((leg) => leg.at === 'scheduler'))
  return at < 0 ? undefined : at
}

/** The place that a placement fills: the one that the leg behind it names. */
export const placeFilled = (kind: OperationKind): 'host' | 'target' =>
  stagesOf(kind)[(placedBy(kind) ?? 0) + 1]?.legs.some(({ at }) => at === 'target') ? 'target' : 'host'

/** How large a disk counts that is as large as its image: a deadline that is too early would undo what only takes its time. */
const imageGib = 100

/** Milliseconds from request to the deadline, for a subject of this size. */
export const deadlineMs = (kind: OperationKind, size: Pick<Size, 'diskGb'> | undefined): number => {
  const { seconds, perGib = 0 } = kindOf(kind).deadline
  return (seconds + perGib * (size ? size.diskGb || imageGib : 0)) * 1000
}

/** The life of an operation. Open: queued (nobody has claimed it) and running. */
export const operationStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
export type OperationState = (typeof operationStates)[number]

/** The states of an operation that has yet to end. */
export const openStates = ['queued', 'running'] as const satisfies readonly OperationState[]

/** Whether an operation in this state has yet to end. */
export const isOpen = (state: OperationState): state is (typeof openStates)[number] =>
  (openStates as readonly OperationState[]).includes(state)

/** The verb that leads from a state to where `kind` may begin: "web is PAUSED. Unpause it first." */
export function verbBefore(kind: OperationKind, state: InstanceState): OperationKind | undefined {
  const verbs: readonly OperationKind[] = ['unpause', 'resume', 'start', 'stop']
  return verbs.find((verb) => {
    const { from, to } = kindOf(verb)
    return from.includes(state) && to !== undefined && to !== 'before' && kindOf(kind).from.includes(to)
  })
}
