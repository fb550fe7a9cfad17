import type { Work } from '../contracts/agent.ts'
import type { ResolvedArgs, Results } from '../contracts/kinds.ts'
import type { Progress } from '../contracts/shapes.ts'
import type { OperationKind, operationKinds, Role } from '../model/operation.ts'

/** What a step knows and may do beside its tools. */
export type StepContext<K extends OperationKind = OperationKind> = {
  readonly work: Work
  readonly args: ResolvedArgs<K>
  /** Aborted if the operation is to be cancelled, or is past its deadline. */
  readonly signal: AbortSignal
  /** How far the step has come. */
  progress(progress: Progress): void
  /** Lets other operations of this host go on while `work` runs: for what waits its turn elsewhere, or may take long. */
  withoutSlot<T>(work: () => Promise<T>): Promise<T>
  /** Tells the other executors of the operation what they need to know of this step. */
  share(result: Results): Promise<void>
  /**
   * What another executor has shared, as soon as there is something that is not `unlike`; asked of the conductor when it has
   * news. After `patienceMs`, if set, `unlike` itself will do. Rejects with the signal's reason if that aborts first.
   */
  result<N extends keyof Results>(name: N, unlike?: Results[N], patienceMs?: number): Promise<NonNullable<Results[N]>>
}

/** An idempotent step: done twice, or begun by a daemon that was killed and done again by the next, it ends the same. */
type Step<Tools, K extends OperationKind = OperationKind> = (tools: Tools, context: StepContext<K>) => Promise<unknown>

type StepsOf<K extends OperationKind> = (typeof operationKinds)[K]['steps'][number]
/** The steps of a kind that hosts take. */
type HostStep<K extends OperationKind> = Extract<StepsOf<K>, { at: Exclude<Role, 'scheduler' | 'conductor'> }>
type HostStepName<K extends OperationKind> = HostStep<K>['name']
/** Those of them that leave something to take back. */
type UndoName<K extends OperationKind> = Extract<HostStep<K>, { undo: true }>['name']

/**
 * A kind of operation as a host carries it out: what each step does, and beside it how it is undone. A missing step or undo
 * does not compile, nor does one too many. An undo finds nothing to undo without complaint.
 */
export type Verb<K extends OperationKind, Tools> = {
  readonly steps: Readonly<Record<HostStepName<K>, Step<Tools, K>>>
} & ([UndoName<K>] extends [never]
  ? { readonly undo?: never }
  : { readonly undo: Readonly<Record<UndoName<K>, Step<Tools, K>>> })

/** The verbs of a service, by kind. */
export type Verbs<Tools, Kinds extends OperationKind = OperationKind> = { readonly [K in Kinds]: Verb<K, Tools> }

/** A verb of any kind, as the engine finds it by the names in the work. */
export type AnyVerb<Tools> = {
  readonly steps: Readonly<Record<string, Step<Tools>>>
  readonly undo?: Readonly<Record<string, Step<Tools>>>
}
