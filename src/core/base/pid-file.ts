import { createHash } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/**
 * The process that a pid file names, if it is still alive. A number alone would be wrong after a reboot, so the file
 * also records when that process started (`/proc/PID/stat`, field 22 of proc(5)).
 */
export function livingPid(path: string): number | undefined {
  const text = textOf(path)
  return text === undefined ? undefined : livingIn(text)
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function livingIn(text: string): number | undefined {
  const [pid, began] = text.trim().split(' ')
  return pid !== undefined && /^\d+$/.test(pid) && began === startOf(Number(pid)) ? Number(pid) : undefined
}

/**
 * Makes this process the owner of `path` and returns the function that releases it; if another live process is the
 * owner, returns its pid. However many processes try at once, one of them wins, also if a dead process
 * has left a file.
 */
export function holdPidFile(path: string): { held: true; release: () => void } | { held: false; pid: number } {
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, `${process.pid} ${startOf(process.pid)}\n`, { mode: 0o600 })
  try {
    const pid = claim(path, mine)
    if (pid !== undefined) return { held: false, pid }
    return { held: true, release: () => livingPid(path) === process.pid && rmSync(path, { force: true }) }
  } finally {
    rmSync(mine, { force: true })
  }
}

/** How long to wait for another process that is about to replace the file, in ms. */
const againMs = 5

/** The owner of `path`, or undefined if there was none and this process is it now. `mine` is a finished file that names this process. */
function claim(path: string, mine: string): number | undefined {
  for (;;) {
    // It appears whole or not at all, and only if there is none.
    if (linked(mine, path)) return undefined
    const before = textOf(path)
    if (before === undefined) continue
    const pid = livingIn(before)
    if (pid !== undefined) return pid
    if (replaced(path, before, mine)) return undefined
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, againMs)
  }
}

/**
 * Puts `mine` in the place of a dead process's file, if that is still there. Only who holds a second file, named after the
 * dead one, may do so: else the file of whoever has just replaced it would be replaced.
 */
function replaced(path: string, before: string, mine: string): boolean {
  const guard = `${path}.${createHash('sha256').update(before).digest('hex').slice(0, 16)}`
  if (claim(guard, mine) !== undefined) return false
  try {
    if (textOf(path) !== before) return false
    const next = `${mine}.next`
    linkSync(mine, next)
    renameSync(next, path)
    return true
  } finally {
    rmSync(guard, { force: true })
  }
}

function linked(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e
    return false
  }
}

/**
 * When a process started, in ticks since the machine's boot; undefined if there is no such process (a zombie does not
 * count).
 */
function startOf(pid: number): string | undefined {
  try {
    // The name in parentheses may contain blanks and parentheses: count from the last one.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}
