import type { Clock } from '../../base/clock.ts'
import { reason } from '../../base/errors.ts'
import type { PowerState } from '../../model/instance.ts'
import { readLog } from './console.ts'
import { kvmTrouble, plainWords } from './kvm-trouble.ts'
import type { GuestPaths } from './paths.ts'
import { isMachine } from './process.ts'
import { connectQmp, type Qmp } from './qmp.ts'

/** A running QEMU process that we hold by its QMP socket. */
export type Machine = {
  readonly id: string
  readonly pid: number
  readonly qmp: Qmp
  /** What the guest's events told last. */
  power: PowerState
  /** The guest's own system told that it crashed. */
  panicked: boolean
  /** Its connection has ended, so it is ending or has ended. */
  leaving: boolean
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>
}

/** QEMU's run state after an error of KVM itself: the guest cannot go on. */
export const internalError = 'internal-error'

/** QEMU's run states (`query-status`) that mean something else than a guest that stands still. */
const powers: ReadonlyMap<unknown, PowerState> = new Map([
  ['running', 'RUNNING'],
  ['shutdown', 'SHUTDOWN'],
  [internalError, 'CRASHED'],
  ['guest-panicked', 'CRASHED'],
])

/** Run states from which the guest can be made to run again by `cont`. */
const resumable = new Set(['paused', 'prelaunch', 'postmigrate', 'io-error', 'save-vm', 'watchdog', 'debug'])

/** QEMU's own word for what the machine does (`query-status`). */
export async function runState(qmp: Qmp): Promise<string> {
  return ((await qmp.execute('query-status')) as { status: string }).status
}

/**
 * The exact type of a machine, as `pc-q35-7.2`: `q35` is the newest of each QEMU. Fails if it is none: a guest that broke out
 * answers what it likes, and the word becomes an argument of the next machine.
 */
export async function machineType(qmp: Qmp): Promise<string> {
  const type = await qmp.execute('qom-get', { path: '/machine', property: 'type' })
  const [, name] = /^([\w.-]{1,64})-machine$/.exec(String(type)) ?? []
  if (name === undefined) throw new Error('QEMU does not tell the type of its machine')
  return name
}

/** The power state behind QEMU's word; what is neither running nor over stands still. */
export const powerOf = (state: string): PowerState => powers.get(state) ?? 'PAUSED'

/** Whether a machine in this state goes on when it is told `cont`. */
export const canContinue = (state: string): boolean => resumable.has(state)

/** What QEMU said last of a machine that did not start, or ended: the error of KVM, if it is one; empty if it said nothing. */
export async function lastWords(paths: GuestPaths): Promise<string> {
  const log = await readLog(paths.log)
  return kvmTrouble(log)?.why ?? plainWords(log.trim().split('\n').at(-1) ?? '')
}

/**
 * Opens the QMP socket of a process that lives, or has just been started. Tries again while nobody listens yet and while
 * the connection of a daemon that was killed is still open; fails when the process ends and after `timeoutMs`.
 */
export async function connectMachine(
  pid: number,
  paths: GuestPaths,
  options: { clock: Clock; timeoutMs: number; signal?: AbortSignal | undefined },
): Promise<Qmp> {
  const { clock, timeoutMs, signal } = options
  const until = clock.now() + timeoutMs
  for (;;) {
    signal?.throwIfAborted()
    try {
      return await connectQmp(paths.qmp, { clock, timeoutMs: Math.min(2_000, timeoutMs) })
    } catch (e) {
      if (!(await isMachine(pid, paths)))
        throw new Error(`QEMU ended: ${(await lastWords(paths)) || 'it said nothing'}`, { cause: e })
      if (clock.now() >= until) throw new Error(`QEMU (process ${pid}) cannot be reached: ${reason(e)}`, { cause: e })
    }
    await clock.sleep(20, signal)
  }
}
