import { progressText, stepText } from '../cli/progress.ts'
import { widthOf } from '../cli/text-width.ts'
import type { Instance, Operation } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'
import type { Detail } from './detail.ts'
import type { CloudModel } from './model.ts'
import { cell, type Paint, since, timeOf, toneOf, took, wrap } from './paint.ts'

type Room = {
  readonly width: number
  readonly height: number
  readonly now: number
  readonly paint: Paint
  /** The number of console lines below the last one on the screen. */
  readonly back: number
  /** The console alone. */
  readonly consoleOnly: boolean
}

/** An instance or an operation in full: at most `height` lines. */
export function detailLines(world: CloudModel, detail: Detail, room: Room): string[] {
  if (detail.kind === 'operation') return operationPage(detail, room).slice(0, room.height)
  if (room.consoleOnly) return consoleLines(detail, room)
  const facts = instanceFacts(world, detail, room)
  const left = room.height - facts.length
  const operations = operationLines(detail.operations, room)
  // The console gets at least a third; operations give way, the oldest first.
  const operationRoom = Math.min(operations.length, Math.max(3, left - Math.max(6, Math.floor(room.height / 3))))
  const top = [...facts, ...operations.slice(0, operationRoom)]
  return [...top, ...consoleLines(detail, { ...room, height: room.height - top.length })].slice(0, room.height)
}

const label = (text: string): string => cell(text, 11)

function instanceFacts(
  world: CloudModel,
  { id, instance, operations, trouble }: Detail,
  { width, paint, now }: Room,
): string[] {
  const row = world.instances.get(id) ?? instance
  if (!row) return [paint('bad', cell(trouble?.text ?? 'Asking …', width).trimEnd()), '']
  const gone = world.instances.has(id) ? '' : paint('bad', '  (deleted)')
  const task = row.task ? paint('busy', `  ${row.task}`) : ''
  const facts = [
    `${label('instance')}${paint('strong', cell(row.name, width - 11).trimEnd())}`,
    `${label('state')}${paint(toneOf(row.status), row.status)}${task}${gone}   power ${instance?.power ?? row.power}`,
    `${label('host')}${row.host ?? '-'}${othersOf(operations, row.host)}   flavor ${row.flavor || '-'}${instance ? sizeOf(instance) : ''}`,
    `${label('addresses')}${addressesOf(instance)}`,
    `${label('id')}${row.id}   project ${row.projectId}`,
    `${label('image')}${row.image || '-'}   created ${since(now - row.createdAt)} ago`,
  ]
  const fault = instance?.fault
    ? wrap(`${instance.fault.message}${instance.fault.hint ? ` ${instance.fault.hint}` : ''}`, width - 11).map(
        (line, i) => `${i === 0 ? paint('bad', label('fault')) : label('')}${line}`,
      )
    : []
  const lost = trouble ? [paint('bad', cell(trouble.text, width).trimEnd())] : []
  return [...facts, ...fault, ...lost, '']
}

/** The other hosts that an open operation works on: " (target host2)". */
function othersOf(operations: readonly Operation[], host: string | undefined): string {
  const open = operations.find(({ state }) => isOpen(state))
  const others = (open?.hosts ?? []).filter((leg) => leg.host !== '' && leg.host !== host)
  return others.length === 0 ? '' : ` (${others.map((leg) => `${leg.role} ${leg.host}`).join(', ')})`
}

const sizeOf = ({ size }: Instance): string => ` (${size.vcpus} vCPU, ${size.memoryMb} MiB, ${size.diskGb} GiB)`

/** Instances have addresses only once they have a network. */
function addressesOf(instance: Instance | undefined): string {
  const { addresses } = (instance ?? {}) as { addresses?: unknown }
  if (addresses === undefined || addresses === null) return 'none'
  const words = JSON.stringify(addresses).match(/\d+\.\d+\.\d+\.\d+|[0-9a-f]*(?::[0-9a-f]*){2,7}/gi) ?? []
  return words.join(', ') || 'none'
}

function operationLines(operations: readonly Operation[], { width, paint, now }: Room): string[] {
  const lines = operations.map((row) => {
    const head = `${timeOf(row.createdAt)} ${cell(row.kind, 11)} `
    const steps = timesOf(row, now).map(({ name, ms, undo }) => `${undo ? 'undo ' : ''}${name} ${took(ms)}`)
    const fault = row.fault ? `  ${row.fault.message}` : ''
    // What an open operation does now comes first: it must not be cut off.
    const doing = doingNow(row)
    const rest = cell(
      `${doing ? `${doing}  ` : ''}${steps.join(', ')}${fault}`,
      Math.max(0, width - widthOf(head) - 10),
    ).trimEnd()
    return `${head}${paint(toneOf(row.state), cell(row.state, 9))} ${rest}`
  })
  return [paint('strong', 'OPERATIONS'), ...(lines.length > 0 ? lines : ['none']), '']
}

/** What is to be known of an open operation beyond its steps: "undoing: stop", "disk 42 % of 1.2 GiB". */
const doingNow = (row: Operation): string =>
  [row.undoing ? stepText(row) : undefined, row.progress && progressText(row.progress)].filter(Boolean).join(', ')

/** How long each step took; the running one, so far. */
function timesOf({ steps, finishedAt }: Operation, now: number) {
  return steps.map((step, i) => ({
    ...step,
    ms: Math.max(0, (steps[i + 1]?.at ?? finishedAt ?? now) - step.at),
  }))
}

function operationPage({ operations: [row], trouble }: Detail, { width, paint, now }: Room): string[] {
  if (!row) return [trouble ? paint('bad', cell(trouble.text, width).trimEnd()) : 'Asking …']
  const { kind, subject, state, id, attempt, userId, requestId, createdAt, finishedAt, fault, deadline } = row
  const ended = finishedAt === undefined ? `, deadline ${timeOf(deadline)}` : `, took ${took(finishedAt - createdAt)}`
  const steps = timesOf(row, now).map(
    (step) =>
      `  ${timeOf(step.at)} ${cell(step.undo ? `undo ${step.name}` : step.name, 12)} ${cell(took(step.ms), 8, 'right')}  ${cell(`${step.host ?? ''}${step.attempt > 1 ? ` (attempt ${step.attempt})` : ''}`, Math.max(1, width - 35)).trimEnd()}`,
  )
  const doing = doingNow(row)
  const reported = fault
    ? [fault.message, ...(fault.hint ? [fault.hint] : [])].flatMap((text) => wrap(text, width - 11))
    : []
  return [
    `${label('operation')}${kind} of ${cell(subject.name, Math.max(1, Math.min(widthOf(subject.name), width - 30))).trimEnd()}`,
    `${label('state')}${paint(toneOf(state), state)}${doing ? `, ${doing}` : ''}${row.cancelRequested && isOpen(state) ? ', cancel requested' : ''}`,
    `${label('begun')}${timeOf(createdAt)}${ended}`,
    `${label('attempt')}${attempt}   host ${row.host ?? '-'}   by ${userId}`,
    `${label('id')}${id}`,
    `${label('request')}${requestId}`,
    ...reported.map((line, i) => `${i === 0 ? paint('bad', label('fault')) : label('')}${line}`),
    '',
    ...hostLines(row, width, paint),
    paint('strong', 'STEPS'),
    ...(steps.length > 0 ? steps : ['  none yet']),
  ].map((line) => line)
}

/** Who takes part in an open operation: as what, and how far. */
function hostLines({ hosts }: Operation, width: number, paint: Paint): string[] {
  if (hosts.length === 0) return []
  const rows = hosts.map(({ host, role, state, step }) =>
    cell(
      `  ${cell(host === '' ? 'any scheduler' : host, 20)} ${cell(role, 10)} ${cell(state, 12)} ${step ?? ''}`,
      width,
    ).trimEnd(),
  )
  return [paint('strong', 'HOSTS'), ...rows, '']
}

function consoleLines({ console, consoleTrouble }: Detail, { width, height, back, paint }: Room): string[] {
  const room = Math.max(0, height - 1)
  const last = Math.max(room, console.length - back)
  const shown = console
    .slice(Math.max(0, last - room), last)
    .map((line) => cell(line.replaceAll('\t', '    '), width).trimEnd())
  const title = `CONSOLE${back > 0 ? ` (${back} lines back)` : ''}`
  if (consoleTrouble && console.length === 0)
    return [paint('strong', title), cell(consoleTrouble.text, width).trimEnd()]
  return [
    paint('strong', title),
    ...(shown.length === 1 && shown[0] === '' ? ['The guest has written nothing yet.'] : shown),
  ]
}
