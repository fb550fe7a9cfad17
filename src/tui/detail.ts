import { harmless } from '../cli/cell-text.ts'
import { operationAfter } from '../cli/operation-after.ts'
import type { Instance, Operation, OperationSummary, Published } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'
import type { Described, Feed } from './feed.ts'
import { paced } from './paced.ts'

/** What is shown of one instance or operation, beyond its row in the list. */
export type Detail = {
  readonly kind: 'instance' | 'operation'
  readonly id: string
  instance: Instance | undefined
  /** Newest first, each with its steps. */
  operations: readonly Operation[]
  /** The last lines of the console. */
  console: readonly string[]
  /** Why the console cannot be read. */
  consoleTrouble: Described | undefined
  /** Why the detail cannot be shown. */
  trouble: Described | undefined
  close(): void
}

/** For how many operations of an instance the steps are shown. */
const operationsMax = 8
const consoleLines = 200
/** No event reports console output: the open console is polled this often. */
const consoleMs = 1_000
const askMs = 300
const patienceMs = 5_000

/** Opens one instance: its data, operations and console, kept up to date until it is closed. */
export function openInstance(feed: Feed, id: string, changed: () => void): Detail {
  const { clock, ask, describe } = feed
  const over = new Map<string, Operation>()
  const withSteps = async (row: OperationSummary): Promise<Operation> => {
    const known = over.get(row.id)
    if (known) return known
    const operation = await ask('operationShow', { operation: row.id }, patienceMs)
    if (!isOpen(operation.state)) over.set(row.id, operation)
    return operation
  }
  const facts = paced(clock, askMs, async () => {
    try {
      const [instance, { operations }] = await Promise.all([
        ask('instanceShow', { instance: id }, patienceMs),
        ask('operationList', { instance: id, limit: operationsMax }, patienceMs),
      ])
      detail.instance = instance
      detail.operations = await Promise.all(operations.map(withSteps))
      detail.trouble = undefined
    } catch (e) {
      detail.trouble = describe(e)
    }
    changed()
    return true
  })
  const tail = paced(clock, consoleMs, async () => {
    try {
      const { text } = await ask('consoleLog', { instance: id, lines: consoleLines }, patienceMs)
      detail.console = harmless(text).replace(/\n$/, '').split('\n')
      detail.consoleTrouble = undefined
    } catch (e) {
      detail.consoleTrouble = describe(e)
    }
    changed()
    return false
  })
  const off = [
    feed.onEvent((event) => {
      if (event.instanceId !== id) return
      applySteps(detail, event)
      // Progress is in the event; nothing else has changed.
      if (event.type !== 'operation.progress') facts.want()
    }),
    facts.stop,
    tail.stop,
  ]
  const detail = blank('instance', id, off)
  facts.want()
  tail.want()
  return detail
}

/** Opens one operation with its steps. */
export function openOperation(feed: Feed, id: string, changed: () => void): Detail {
  const facts = paced(feed.clock, askMs, async () => {
    try {
      detail.operations = [await feed.ask('operationShow', { operation: id }, patienceMs)]
      detail.trouble = undefined
    } catch (e) {
      detail.trouble = feed.describe(e)
    }
    changed()
    return true
  })
  const off = [
    feed.onEvent((event) => {
      if (event.operationId !== id) return
      applySteps(detail, event)
      if (event.type !== 'operation.progress') facts.want()
    }),
    facts.stop,
  ]
  const detail = blank('operation', id, off)
  facts.want()
  return detail
}

/** An event shows at once; the rest comes with the answer to a request. */
function applySteps(detail: Detail, event: Published): void {
  if (detail.instance && event.status) detail.instance = { ...detail.instance, status: event.status }
  detail.operations = detail.operations.map((row) => {
    if (row.id !== event.operationId || !event.operation || !isOpen(row.state)) return row
    return { ...operationAfter(row, event), steps: stepsAfter(row.steps, event), hosts: hostsAfter(row.hosts, event) }
  })
}

function stepsAfter(steps: Operation['steps'], { operation: reported, at, host }: Published): Operation['steps'] {
  if (reported?.step === undefined) return steps
  const { step: name, undoing: undo = false } = reported
  const attempt = Math.max(reported.attempt, 1)
  const last = steps.at(-1)
  if (last?.name === name && last.attempt === attempt && (last.undo ?? false) === undo) return steps
  return [...steps, { name, at, attempt, ...(host ? { host } : {}), ...(undo ? { undo } : {}) }]
}

/** A host that has come to a step is working on it. */
function hostsAfter(hosts: Operation['hosts'], { type, host, operation: reported }: Published): Operation['hosts'] {
  if (type !== 'operation.step' || reported?.step === undefined || reported.state !== 'running') return hosts
  const { step, undoing } = reported
  return hosts.map((row) => (row.host === host ? { ...row, step, state: undoing ? 'undo-running' : 'running' } : row))
}

const blank = (kind: Detail['kind'], id: string, off: ReadonlyArray<() => void>): Detail => ({
  kind,
  id,
  instance: undefined,
  operations: [],
  console: [],
  consoleTrouble: undefined,
  trouble: undefined,
  close: () => {
    for (const undo of off) undo()
  },
})
