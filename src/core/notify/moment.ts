import { type Code, failures } from '../base/errors.ts'
import type { Instance, Published } from '../contracts/shapes.ts'
import { kindOf } from '../model/operation.ts'
import { powerIn, powerWords, stateWords } from './words.ts'

/** The class and the status of a failure, for Python. */
export type Raised = { exception: string; message: string; http: number; where: string }

/** An instance as it was at the time of an event; its row may have changed since. */
export type Moment = {
  readonly instance: Instance
  readonly event: Published
  readonly host: string | undefined
  readonly state: string
  /** The earlier status, if the event changed the status and nothing else. */
  readonly stateBefore: string
  readonly power: string
  readonly task: string | null
  readonly launchedAt: number | undefined
  readonly deletedAt: number | undefined
  readonly raised: Raised | undefined
}

/** The state at the time of an event: the event itself has what changed, the instance everything else. */
export function momentOf(event: Published, instance: Instance): Moment {
  const { at, operation } = event
  const open = operation?.state === 'queued' || operation?.state === 'running'
  const gone = operation?.state === 'succeeded' && kindOf(operation.kind).to === undefined
  const status = event.status ?? instance.status
  const state = gone ? 'deleted' : stateWords[status]
  const before = event.before?.status
  return {
    instance,
    event,
    host: event.host,
    state,
    stateBefore: before === undefined ? state : stateWords[before],
    power: powerWords[gone ? 'NOSTATE' : (powerIn[status] ?? instance.power)],
    task: operation && open ? kindOf(operation.kind).task : null,
    launchedAt: instance.launchedAt !== undefined && instance.launchedAt <= at ? instance.launchedAt : undefined,
    deletedAt: gone ? at : undefined,
    raised: raisedIn(event),
  }
}

function raisedIn({ type, message = '', operation }: Published): Raised | undefined {
  if (!type.endsWith('.error')) return undefined
  const code = operation?.fault?.code ?? ''
  const row = code in failures ? failures[code as Code] : undefined
  return {
    exception: row?.python ?? (code || 'NovaException'),
    message: operation?.fault?.message ?? message,
    http: row?.http ?? 500,
    where: operation?.step ?? operation?.kind ?? '',
  }
}
