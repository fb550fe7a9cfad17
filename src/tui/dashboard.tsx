import { render } from 'ink'
import { App } from './app.tsx'
import type { Feed } from './feed.ts'
import { paced } from './paced.ts'
import { painter } from './paint.ts'
import { Screen } from './screen.ts'
import { Session } from './session.ts'

/** At most ten frames per second: a change shows at once if nothing was drawn just before, otherwise within 100 ms. */
const frameMs = 100
/** Ages grow without an event: they are redrawn each second while an operation is open, otherwise rarely. */
const tickMs = 1_000
const quietTicks = 5

/** How the dashboard ended: by `q`, or by a signal. */
export type Ended = NodeJS.Signals | undefined

/**
 * Shows the dashboard until it is closed. Whatever happens, the terminal is restored: also if a signal ends this
 * process, or if it fails.
 */
export async function showDashboard(
  feed: Feed,
  { stdin, stdout }: Pick<NodeJS.Process, 'stdin' | 'stdout'>,
): Promise<Ended> {
  const screen = new Screen(stdout)
  const restore = (): void => screen.restore()
  // A bug is reported on the terminal's normal page, not on the one that disappears.
  for (const end of ['exit', 'uncaughtExceptionMonitor']) process.on(end, restore)
  let signal: Ended
  let draw = (): void => undefined
  const frames = paced(feed.clock, frameMs, () => {
    draw()
    return true
  })
  let ticks = 0
  const tick = paced(feed.clock, tickMs, () => {
    if (session.waits || ++ticks % quietTicks === 0) frames.want()
    return false
  })
  // As a terminal does it that reads whole lines: the shell comes back, and `fg` brings the dashboard back.
  const suspend = (): void => {
    restore()
    stdin.setRawMode(false)
    process.kill(0, 'SIGTSTP')
  }
  const session = new Session(feed, frames.want, () => ink.unmount(), suspend)
  screen.open()
  const ink = render(
    <App
      session={session}
      frames={(fn) => {
        draw = fn
        return () => undefined
      }}
      size={() => screen}
      paint={painter(stdout.hasColors())}
    />,
    // Whole frames, written at once: the screen finds out what changed, and frames are paced here.
    { stdin, stdout: screen as unknown as NodeJS.WriteStream, debug: true, exitOnCtrlC: false, patchConsole: false },
  )
  const onSignal = (name: NodeJS.Signals): void => {
    signal = name
    ink.unmount()
  }
  const resized = (): void => {
    screen.wipe()
    draw()
  }
  const resumed = (): void => {
    stdin.setRawMode(true)
    screen.open()
    draw()
  }
  const offChange = feed.onChange(frames.want)
  for (const name of ends) process.on(name, onSignal)
  stdout.on('resize', resized)
  process.on('SIGCONT', resumed)
  tick.want()
  try {
    await ink.waitUntilExit()
    return signal
  } finally {
    for (const name of ends) process.off(name, onSignal)
    stdout.off('resize', resized)
    process.off('SIGCONT', resumed)
    offChange()
    tick.stop()
    frames.stop()
    session.close()
    restore()
    for (const end of ['exit', 'uncaughtExceptionMonitor']) process.off(end, restore)
    stdin.unref?.()
  }
}

const ends = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const
