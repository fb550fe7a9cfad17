import type { Clock } from '../core/base/clock.ts'
import type { OperationSummary } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'
import { cellText } from './cell-text.ts'
import { errorTerminal, errorWidth, writeRaw } from './terminal.ts'

/** A line at the bottom of a terminal that says what the command waits for. */
export type Progress = {
  show(text: string): void
  /** Removes the line. */
  end(): void
}

const frames = ['|', '/', '-', '\\']
const frameMs = 120

/** Shows progress on standard error; nothing if standard error is not a terminal. */
export function openProgress(clock: Clock): Progress {
  if (!errorTerminal()) return { show: () => undefined, end: () => undefined }
  const began = clock.now()
  let text = ''
  let frame = 0
  let cancel = () => {}
  const draw = (): void => {
    const seconds = Math.floor((clock.now() - began) / 1000)
    const line = `${frames[frame++ % frames.length]} ${cellText(text)}${seconds > 0 ? ` (${seconds} s)` : ''}`
    writeRaw(`\r\u001b[K${line.slice(0, errorWidth() - 1)}`)
  }
  const turn = (): void => {
    cancel = clock.after(frameMs, () => {
      draw()
      turn()
    })
  }
  turn()
  return {
    show(now) {
      text = now
      draw()
    },
    end() {
      cancel()
      writeRaw('\r\u001b[K')
    },
  }
}

type Far = NonNullable<OperationSummary['progress']>
const gib = 2 ** 30
/** How much of a long step is done, in whole percent. */
export const percentOf = ({ doneBytes, totalBytes }: Pick<Far, 'doneBytes' | 'totalBytes'>): number =>
  totalBytes === 0 ? 100 : Math.floor((doneBytes / totalBytes) * 100)
/** The progress of a long step: "disk 42 % of 1.2 GiB". */
export const progressText = (far: Far): string =>
  `${far.what} ${percentOf(far)} % of ${(far.totalBytes / gib).toFixed(1)} GiB`

/** The step of an operation: "send", or "undoing: stop" if the step is being undone; undefined before the first one. */
export const stepText = ({ step, undoing }: Pick<OperationSummary, 'step' | 'undoing'>): string | undefined =>
  step === undefined ? undefined : `${undoing ? 'undoing: ' : ''}${step}`

/** Describes the progress of operations: one with its step; several with how many are done. */
export function showOperations(progress: Progress, ids: readonly string[]): (operation: OperationSummary) => void {
  const done = new Set<string>()
  return ({ id, kind, state, step, host, subject, undoing, progress: far }) => {
    if (!isOpen(state)) done.add(id)
    const at = step ? `: ${undoing ? 'undoing ' : ''}${step}` : state === 'queued' ? ': queued' : ''
    const count = ids.length > 1 ? `${done.size} of ${ids.length} done; ` : ''
    progress.show(
      `${count}${kind} ${subject.name}${at}${host ? ` on ${host}` : ''}${far ? `, ${progressText(far)}` : ''}`,
    )
  }
}
