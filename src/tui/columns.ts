import { percentOf, progressText, stepText } from '../cli/progress.ts'
import type { Event, Host, InstanceSummary, OperationSummary } from '../core/contracts/shapes.ts'
import { healthOf } from '../core/model/health.ts'
import { isOpen } from '../core/model/operation.ts'
import { bar, cell, type Paint, since, timeOf, toneOf, took } from './paint.ts'

/** A column of a table. Widths depend on the terminal alone, so that nothing jumps while rows come and go. */
export type Column<T> = {
  readonly title: string
  /** Width in columns of the terminal; a growing column takes at least this, and shares the rest with the others. */
  readonly width: number
  readonly grows?: number
  /** Shown only on terminals at least this wide. */
  readonly from?: number
  readonly side?: 'left' | 'right'
  /** The text of a cell, exactly `width` wide. */
  readonly draw: (row: T, width: number, look: Look) => string
}
type Look = { readonly paint: Paint; readonly now: number }

/** The value of a row in this column. */
const cellText =
  <T>(of: (row: T, now: number) => string | number | undefined, side: 'left' | 'right' = 'left') =>
  (row: T, width: number, { now }: Look): string =>
    cell(String(of(row, now) ?? '-') || '-', width, side)
const toned =
  <T>(of: (row: T) => string) =>
  (row: T, width: number, { paint }: Look): string =>
    paint(toneOf(of(row)), cell(of(row), width))

/** A column with its width. */
export type Laid<T> = Column<T> & { readonly is: number }

/** Gives each column its width on a terminal; one blank separates two columns. */
export function layOut<T>(columns: readonly Column<T>[], width: number): Laid<T>[] {
  const shown = columns.filter(({ from }) => (from ?? 0) <= width)
  const taken = shown.reduce((sum, column) => sum + column.width + 1, -1)
  const shares = shown.reduce((sum, { grows = 0 }) => sum + grows, 0)
  let left = Math.max(0, width - taken)
  let open = shares
  return shown.map((column) => {
    const { grows = 0 } = column
    const more = open > 0 ? Math.floor((left * grows) / open) : 0
    left -= more
    open -= grows
    return { ...column, is: column.width + more }
  })
}

export const instanceColumns: readonly Column<InstanceSummary>[] = [
  { title: 'NAME', width: 16, grows: 3, draw: cellText((i) => i.name) },
  { title: 'STATUS', width: 9, draw: toned((i) => i.status) },
  { title: 'TASK', width: 14, draw: cellText((i) => i.task) },
  { title: 'HOST', width: 14, grows: 1, draw: cellText((i) => i.host) },
  { title: 'FLAVOR', width: 11, draw: cellText((i) => i.flavor) },
  { title: 'IMAGE', width: 14, grows: 1, from: 110, draw: cellText((i) => i.image) },
  { title: 'PROJECT', width: 10, from: 130, draw: cellText((i) => i.projectId) },
  { title: 'ID', width: 36, from: 140, draw: cellText((i) => i.id) },
  { title: 'AGE', width: 4, side: 'right', draw: cellText((i, now) => since(now - i.createdAt), 'right') },
]

const use =
  (key: keyof Host['used']) =>
  (h: Host, width: number, { paint }: Look) =>
    bar(h.used[key], h.limit[key], width, paint)
const share = (key: keyof Host['used']) => cellText<Host>((h) => `${h.used[key]}/${h.limit[key]}`, 'right')

export const hostColumns: readonly Column<Host>[] = [
  { title: 'NAME', width: 12, grows: 2, draw: cellText((h) => h.name) },
  { title: 'STATE', width: 8, draw: toned((h) => healthOf(h)) },
  { title: 'STATUS', width: 8, draw: toned((h) => h.status) },
  { title: 'INST', width: 5, side: 'right', draw: cellText((h) => h.instances, 'right') },
  { title: 'CPU', width: 12, grows: 1, draw: use('vcpus') },
  { title: 'USED', width: 9, from: 120, side: 'right', draw: share('vcpus') },
  { title: 'MEMORY', width: 12, grows: 1, draw: use('memoryMb') },
  { title: 'MIB', width: 15, from: 120, side: 'right', draw: share('memoryMb') },
  { title: 'DISK', width: 12, grows: 1, draw: use('diskGb') },
  { title: 'GIB', width: 13, from: 140, side: 'right', draw: share('diskGb') },
  { title: 'ZONE', width: 8, from: 110, draw: cellText((h) => h.availabilityZone) },
  { title: 'DRIVER', width: 6, from: 130, draw: cellText((h) => h.driver) },
]

const lasted = (o: OperationSummary, now: number): string =>
  isOpen(o.state) ? since(now - o.createdAt) : took((o.finishedAt ?? o.createdAt) - o.createdAt)

/** The step, with its percentage: "send 42 %", "undoing: stop". */
const stepShown = (o: OperationSummary): string | undefined =>
  stepText(o) && `${stepText(o)}${o.progress ? ` ${percentOf(o.progress)} %` : ''}`

export const operationColumns: readonly Column<OperationSummary>[] = [
  { title: 'BEGUN', width: 8, draw: cellText((o) => timeOf(o.createdAt)) },
  { title: 'KIND', width: 12, draw: cellText((o) => o.kind) },
  { title: 'SUBJECT', width: 12, grows: 2, draw: cellText((o) => o.subject.name) },
  { title: 'STATE', width: 9, draw: toned((o) => o.state) },
  // Room for the longest: "undoing: receive".
  { title: 'STEP', width: 16, draw: cellText(stepShown) },
  { title: 'PROGRESS', width: 22, from: 120, draw: cellText((o) => o.progress && progressText(o.progress)) },
  { title: 'HOST', width: 10, grows: 1, draw: cellText((o) => o.host) },
  { title: 'TOOK', width: 5, side: 'right', draw: cellText(lasted, 'right') },
  { title: 'ID', width: 36, from: 130, draw: cellText((o) => o.id) },
  { title: 'FAULT', width: 10, grows: 4, from: 110, draw: cellText((o) => o.fault?.message) },
]

export const eventColumns: readonly Column<Event>[] = [
  { title: 'AT', width: 8, draw: cellText((e) => timeOf(e.at)) },
  { title: 'TYPE', width: 25, draw: cellText((e) => e.type) },
  { title: 'INSTANCE', width: 12, grows: 1, draw: cellText((e) => e.instanceName) },
  { title: 'HOST', width: 10, grows: 1, draw: cellText((e) => e.host) },
  { title: 'MESSAGE', width: 12, grows: 4, draw: cellText((e) => e.message) },
]
