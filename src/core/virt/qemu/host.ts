import { appendFile, writeFile } from 'node:fs/promises'
import type { Clock } from '../../base/clock.ts'
import { fail, isFailure, reason } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { PowerState } from '../../model/instance.ts'
import type { GuestPower } from '../driver.ts'
import type { Accelerator } from './arguments.ts'
import { Cgroups } from './cgroups.ts'
import { readLog } from './console.ts'
import { exists } from './disk.ts'
import { kvmTrouble } from './kvm-trouble.ts'
import { LogKeeper } from './log-keeper.ts'
import { connectMachine, internalError, type Machine, powerOf, runState } from './machine.ts'
import { type GuestPaths, guestPaths } from './paths.ts'
import { findMachine, killAll, killMachine, machineGone } from './process.ts'
import type { QmpEvent } from './qmp.ts'
import { GuestUsers, type UidRange } from './users.ts'
import { within } from './wait.ts'

/** What the QEMU driver leans on. */
export type QemuOptions = {
  /** Everything that the driver keeps lies below. */
  stateDir: string
  log: Log
  clock: Clock
  /** `auto` tries whether KVM can run a guest. */
  accelerator: 'auto' | Accelerator
  /** QEMU's name of the processor that guests are booted with; empty: the accelerator's default. */
  cpuModel: string
  qemuBinary?: string
  qemuImg?: string
  /** This machine's memory of whether KVM can run guests; below `stateDir` if nothing is said. */
  acceleratorFile?: string | undefined
  kvmDevice?: string
  /** Users of guests, if this process is root; absent: guests run as root, too. */
  uids?: UidRange | undefined
  /** Where this process's `mountinfo` and `cgroup` are: `/proc/self` if nothing is said. */
  proc?: string | undefined
}

const outOfMemoryWords = 'the kernel ended it: it took more memory than its cgroup has'
const attachTimeoutMs = 10_000
/** How long a host that starts waits for one machine before it goes on without its answer, in ms. */
const takeUpMs = 1_000

/** Makes a guest run again whose KVM failed; does nothing if that is not so. `ended`: its machine has ended by itself. */
type Rescue = (id: string, ended: boolean) => Promise<void>

/** The guests of this host, as far as they run: holds their machines, and watches them. */
export class QemuHost {
  readonly stateDir: string
  readonly log: Log
  readonly clock: Clock
  /** Whom the programs of its guests run as. */
  readonly users: GuestUsers
  /** What bounds the machines of its guests. */
  readonly cgroups: Cgroups
  /** Keeps their logs small. */
  readonly keeper: LogKeeper
  readonly #machines = new Map<string, Machine>()
  /** Guests whose process lives and does not talk. */
  readonly #mute = new Set<string>()
  /** Machines of an earlier life that have not answered yet. */
  readonly #takingUp = new Map<string, Promise<Machine>>()
  #leaving = new AbortController()
  /** The action under way on each guest; the next one waits for it. */
  readonly #actions = new Map<string, Promise<unknown>>()
  readonly #listeners = new Set<(change: GuestPower) => void>()
  /** Guests that may have failed with their KVM, until that is known and they run again or not. */
  readonly #rescues = new Map<string, Promise<void>>()
  #rescue: Rescue = async () => undefined
  #closed = false

  constructor(options: Pick<QemuOptions, 'stateDir' | 'log' | 'clock' | 'uids' | 'proc'>) {
    const { stateDir, log, clock, uids } = options
    this.stateDir = stateDir
    this.log = log
    this.clock = clock
    this.users = new GuestUsers(stateDir, uids)
    this.cgroups = new Cgroups(options)
    this.keeper = new LogKeeper(stateDir)
  }

  paths(id: string): GuestPaths {
    return guestPaths(this.stateDir, id)
  }

  attached(): Machine[] {
    return [...this.#machines.values()]
  }

  onPower(listener: (change: GuestPower) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** From now on machines are watched, and those that KVM failed under are handed to `rescue`. */
  open(rescue: Rescue): void {
    this.#closed = false
    this.#leaving = new AbortController()
    this.#rescue = rescue
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#leaving.abort(new Error('the daemon stops'))
    this.#listeners.clear()
    await Promise.allSettled(this.#takingUp.values())
    await Promise.all(this.#rescues.values())
    const machines = this.attached()
    this.#machines.clear()
    for (const { qmp } of machines) qmp.close()
    await Promise.all(machines.map(({ ended }) => ended))
  }

  /** One action at a time on a guest. What goes wrong becomes a `DriverFailed` that names the action. */
  async action<T>(id: string, name: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const before = this.#actions.get(id)
    const turn = (async () => {
      await before?.catch(() => undefined)
      signal?.throwIfAborted()
      return await work()
    })()
    this.#actions.set(id, turn)
    try {
      return await turn
    } catch (e) {
      if (isFailure(e)) throw e
      if (signal?.aborted) throw signal.reason
      return fail('DriverFailed', { action: name, why: reason(e) }, e)
    } finally {
      if (this.#actions.get(id) === turn) this.#actions.delete(id)
    }
  }

  /** The guest's machine, taken up again if the process lives and we do not hold it. Undefined if it does not run. */
  async machine(id: string): Promise<Machine | undefined> {
    const held = this.#machines.get(id)
    if (held && !held.leaving) return held
    await held?.ended
    const takingUp = this.#takingUp.get(id)
    if (takingUp) return takingUp
    const pid = await findMachine(this.stateDir, id)
    return pid === undefined ? undefined : this.attach(id, pid)
  }

  /**
   * Takes up the machine of an earlier life. One that does not answer at once counts as running, and is waited for in the
   * background: a host does not stay away from the cloud for one guest.
   */
  async takeUp(id: string, pid: number): Promise<void> {
    const attached = this.attach(id, pid, this.#leaving.signal)
    this.#takingUp.set(id, attached)
    const over = attached
      .then(
        ({ power }) => this.log.info({ instance: id, pid, power }, 'took up a running guest'),
        (err: unknown) => this.log.error({ instance: id, pid, err }, 'cannot take up a running guest'),
      )
      .then(() => void this.#takingUp.delete(id))
    if (await within(this.clock, takeUpMs, over)) return
    this.#mute.add(id)
    this.log.warn({ instance: id, pid }, 'a guest does not answer; it is waited for in the background')
    const told = over.then(async () => {
      if (!this.#closed) this.#reportUnlessAsked(id, await this.power(id))
    })
    told.catch((err: unknown) => this.log.warn({ instance: id, err }, 'cannot tell of a guest'))
  }

  /** Takes hold of a living process. Fails if it does not answer. */
  async attach(id: string, pid: number, signal?: AbortSignal): Promise<Machine> {
    const paths = this.paths(id)
    try {
      const qmp = await connectMachine(pid, paths, { clock: this.clock, timeoutMs: attachTimeoutMs, signal })
      // From here on, so that nothing that happens while we ask for its state is missed.
      qmp.onEvent((event) => this.#onEvent(machine, event))
      const machine: Machine = {
        id,
        pid,
        qmp,
        power: 'NOSTATE',
        panicked: false,
        leaving: false,
        ended: qmp.closed.then(() => this.#released(machine)),
      }
      this.#machines.set(id, machine)
      this.#mute.delete(id)
      await this.keeper
        .ensure()
        .catch((err: unknown) => this.log.warn({ err }, 'nobody keeps the logs of guests small'))
      const state = await runState(qmp)
      if (machine.power === 'NOSTATE') machine.power = powerOf(state)
      if (state === internalError) this.#startRescue(machine.id, false)
      return machine
    } catch (e) {
      if (await this.#lives(id)) this.#mute.add(id)
      throw e
    }
  }

  /** Cuts the guest's power, whether its machine talks or not. Content to find none. */
  async kill(id: string): Promise<void> {
    const machine = this.#machines.get(id)
    const pid = machine?.pid ?? (await findMachine(this.stateDir, id))
    if (pid !== undefined) await killMachine(pid, this.paths(id), this.clock)
    await killAll(() => this.cgroups.processesIn(this.paths(id)), this.clock)
    await machine?.ended
    this.#mute.delete(id)
    await this.leave(id)
  }

  /** Removes the cgroups of a guest whose machine has ended; notes if that was for want of memory. Never fails. */
  async leave(id: string): Promise<void> {
    const paths = this.paths(id)
    try {
      const { outOfMemory } = await this.cgroups.remove(paths)
      if (!outOfMemory) return
      this.log.warn({ instance: id }, outOfMemoryWords)
      await appendFile(paths.log, `${outOfMemoryWords}\n`)
      await writeFile(paths.crashed, '')
    } catch (err) {
      this.log.warn({ instance: id, err }, 'cannot leave the cgroups of a guest that has ended')
    }
  }

  /** NOSTATE if there is no such guest. */
  async power(id: string): Promise<PowerState> {
    // It is about to run again, and what is seen of it until then means nothing.
    if (this.#rescues.has(id)) return 'RUNNING'
    return this.#powerNow(id)
  }

  async #powerNow(id: string): Promise<PowerState> {
    const machine = this.#machines.get(id)
    if (machine) return machine.power
    const paths = this.paths(id)
    if (!(await exists(paths.record))) return 'NOSTATE'
    if (this.#mute.has(id)) {
      if (await this.#lives(id)) return 'RUNNING'
      this.#mute.delete(id)
    }
    if (await exists(paths.memory)) return 'SUSPENDED'
    return (await exists(paths.crashed)) ? 'CRASHED' : 'SHUTDOWN'
  }

  async #lives(id: string): Promise<boolean> {
    return (await findMachine(this.stateDir, id)) !== undefined
  }

  #onEvent(machine: Machine, { event, data }: QmpEvent): void {
    const { id } = machine
    this.log.debug({ instance: id, event, data }, 'event of a guest')
    if (event === 'RESUME') this.#changed(machine, 'RUNNING')
    if (event === 'STOP') void this.#stopped(machine)
    if (event === 'GUEST_PANICKED') {
      machine.panicked = true
      this.log.warn({ instance: id }, 'the guest tells that it crashed')
    }
  }

  /** It stands still: paused by somebody, or because its disk has no room, or its processor cannot go on. */
  async #stopped(machine: Machine): Promise<void> {
    const before = machine.power
    machine.power = 'PAUSED'
    let state = 'paused'
    try {
      state = await runState(machine.qmp)
    } catch {
      // It has ended; that is told where the connection's end is heard.
    }
    // It may have gone on, or ended, while we asked.
    if (machine.power !== 'PAUSED') return
    const power = powerOf(state)
    if (power === 'CRASHED') machine.power = power
    if (state === internalError) this.#startRescue(machine.id, false)
    else if (machine.power !== before) this.#reportUnlessAsked(machine.id, machine.power)
  }

  /**
   * Its KVM failed, it seems. As an action of its own, after those that are under way: one of them may be what stops it. What
   * became of it is told at the end, as it is then.
   */
  #startRescue(id: string, ended: boolean): void {
    if (this.#closed || this.#rescues.has(id)) return
    const rescue = async () => {
      try {
        await this.action(id, 'start the guest again without KVM', () => this.#rescue(id, ended))
      } catch (err) {
        this.log.error({ instance: id, err }, 'a guest that KVM failed under cannot be started again')
      }
      this.#rescues.delete(id)
      if (!this.#closed) this.#reportUnlessAsked(id, await this.#powerNow(id))
    }
    this.#rescues.set(id, rescue())
  }

  #changed(machine: Machine, power: PowerState): void {
    if (machine.power === power) return
    machine.power = power
    this.#reportUnlessAsked(machine.id, power)
  }

  /** What an action changes is told by whoever asked for it. */
  #reportUnlessAsked(id: string, power: PowerState): void {
    if (!this.#actions.has(id)) this.#report({ id, power })
  }

  #report(change: GuestPower): void {
    this.log.info({ instance: change.id, power: change.power }, 'a guest changed its power state by itself')
    for (const listener of this.#listeners) listener(change)
  }

  /** The connection has ended: its process has, as a rule. */
  async #released(machine: Machine): Promise<void> {
    const { id, pid } = machine
    machine.leaving = true
    if (this.#closed) return
    const byItself = !this.#actions.has(id)
    const paths = this.paths(id)
    if (!(await machineGone(pid, paths, this.clock, 5_000)) && (await this.#takenUpAgain(id, pid))) return
    if (machine.panicked) await writeFile(paths.crashed, '').catch(() => undefined)
    await this.leave(id)
    this.#machines.delete(id)
    const ofKvm = byItself && !machine.panicked && kvmTrouble(await readLog(paths.log))?.lasting
    // An action that began meanwhile, as a stop, is what counts.
    if (ofKvm && !this.#actions.has(id)) return this.#startRescue(id, true)
    if (byItself) this.#report({ id, power: await this.power(id) })
  }

  /** False if the process has ended after all. */
  async #takenUpAgain(id: string, pid: number): Promise<boolean> {
    this.log.warn({ instance: id, pid }, 'lost the connection to a machine that lives; taking it up again')
    this.#machines.delete(id)
    try {
      await this.attach(id, pid)
      return true
    } catch (err) {
      if (!(await this.#lives(id))) return false
      this.log.error({ instance: id, pid, err }, 'cannot take it up')
      return true
    }
  }
}
