import { linkSync, readFileSync, rmSync, writeFileSync } from 'node:fs'

/**
 * The process that a pid file names, if it is still alive. A number alone would be wrong after a reboot, so the file
 * also records when that process started (`/proc/PID/stat`, field 22 of proc(5)).
 */
export function livingPid(path: string): number | undefined {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
  const [pid, began] = text.trim().split(' ')
  return pid !== undefined && /^\d+$/.test(pid) && began === startOf(Number(pid)) ? Number(pid) : undefined
}

/**
 * Makes this process the owner of `path` and returns the function that releases it; if another live process is the
 * owner, returns its pid. The file appears whole or not at all (a hard link to a finished one), so two processes cannot
 * both win.
 */
export function holdPidFile(path: string): { held: true; release: () => void } | { held: false; pid: number } {
  const mine = `${path}.${process.pid}`
  writeFileSync(mine, `${process.pid} ${startOf(process.pid)}\n`, { mode: 0o600 })
  try {
    for (;;) {
      try {
        linkSync(mine, path)
        return { held: true, release: () => livingPid(path) === process.pid && rmSync(path, { force: true }) }
      } catch (e) {
        if ((e as NodeJS.ErrnoException).code !== 'EEXIST') throw e
        const pid = livingPid(path)
        if (pid !== undefined) return { held: false, pid }
        rmSync(path, { force: true })
      }
    }
  } finally {
    rmSync(mine, { force: true })
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
