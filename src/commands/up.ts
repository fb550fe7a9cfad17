import * as Flags from '@oclif/core/flags'
import { ensureBuiltinImage } from '../cli/builtin-image.ts'
import { NovaCommand } from '../cli/command.ts'
import { CommandError } from '../cli/command-error.ts'
import { pairs, set, whole } from '../cli/flags.ts'
import { refuseHostLogin } from '../cli/link.ts'
import { oneLineStatus } from '../cli/status-view.ts'
import { isFailure } from '../core/base/errors.ts'
import type { Config } from '../core/config/load.ts'
import { places } from '../core/config/places.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'

/** How long a start may take if `--timeout` is not given, in seconds. */
const startedWithinMs = 120_000
/** How long a start by another process may take. */
const servedWithinMs = 20_000

export default class Up extends NovaCommand {
  static override summary = "Start this machine's cloud: broker, database and all daemons."
  static override description =
    'Runs in the background under a supervisor and returns when every service answers. Running it again is harmless. Instances that are still running are adopted. If the start takes longer than --timeout (120 s), or you press Ctrl-C, everything that was started is stopped again.'
  static override examples = [
    '<%= config.bin %> up',
    { description: 'A hundred simulated hosts:', command: '<%= config.bin %> up --driver fake --hosts 100' },
    { description: 'For systemd and containers:', command: '<%= config.bin %> up --foreground' },
  ]
  static override flags = {
    driver: Flags.string({
      env: 'NOVA_DRIVER',
      helpValue: 'auto|qemu|fake',
      summary: 'Hypervisor of this host. auto: QEMU if it is installed, otherwise fake.',
    }),
    hosts: whole({ min: 1, max: 10_000 })({
      env: 'NOVA_HOSTS',
      helpValue: 'N',
      summary: 'Number of compute hosts that the fake driver simulates.',
    }),
    set,
    foreground: Flags.boolean({
      env: 'NOVA_FOREGROUND',
      summary: 'Run in the foreground and log to standard error.',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Up)
    const told = { 'compute.driver': flags.driver, 'fake.hosts': flags.hosts, ...pairs('set', flags.set) }
    const config = await this.settings(told)
    await refuseHostLogin(config)
    if (config.bus.url !== '')
      this.note(
        'The bus is bus.url: this machine becomes a controller and a compute host of that cloud, with the same login for both. For one daemon: nova daemon --help',
      )
    if (flags.foreground) {
      const [{ runDaemon }, { startAll }] = await Promise.all([
        import('../daemons/runtime.ts'),
        import('../daemons/all.ts'),
      ])
      return runDaemon('up', config, startAll)
    }
    const background = await import('../daemons/background.ts')
    const stop = new AbortController()
    const onSignal = (signal: NodeJS.Signals): void => {
      this.note('Stopping what was started …')
      stop.abort(
        new CommandError(
          'Interrupted; everything that was started has been stopped.',
          'Start again: nova up',
          codes[signal] ?? 1,
        ),
      )
    }
    let already = background.runningPid(config)
    if (already !== undefined && Object.values(told).some((value) => value !== undefined))
      this.note(await alreadyUp(config, told))
    let image: Awaited<ReturnType<typeof ensureBuiltinImage>>
    if (already === undefined) for (const signal of signals) process.on(signal, onSignal)
    try {
      already ??= await this.start(config, told, stop.signal)
      if (already !== undefined) await this.untilServed(config, already, stop.signal)
      image = await orAborted(stop.signal, this.image(config, stop.signal))
    } catch (e) {
      if (stop.signal.aborted && already === undefined) await background.stopBackground(config)
      throw e
    } finally {
      for (const signal of signals) process.off(signal, onSignal)
    }
    const status = await this.ask('status', {})
    this.write(
      [
        already === undefined ? 'The cloud is up.' : `The cloud is already up (process ${already}).`,
        `  ${oneLineStatus(status)}`,
        `  state   ${config.stateDir}`,
        image.remark && `  image   ${image.remark}`,
        `  next    ${image.hasImage ? 'nova boot web --wait' : 'nova image create NAME --disk FILE --disk-format qcow2'}`,
      ]
        .filter((line) => line !== undefined)
        .map((line) => `${line}\n`)
        .join(''),
    )
  }
  /** Starts the cloud; if another process started it first, returns that process. */
  private async start(config: Config, told: Record<string, unknown>, signal: AbortSignal): Promise<number | undefined> {
    const { runningPid, startInBackground } = await import('../daemons/background.ts')
    this.note('Starting broker, database, conductor, scheduler and compute …')
    const started = await startInBackground(config, this.config.root, told, {
      timeoutMs: this.timeoutMs ?? startedWithinMs,
      signal,
      note: (text) => this.note(text),
    })
    return started ? undefined : runningPid(config)
  }

  private image(config: Config, signal: AbortSignal): ReturnType<typeof ensureBuiltinImage> {
    return ensureBuiltinImage(this.config.root, config, {
      ask: (method, args) => this.ask(method, args),
      note: (text) => this.note(text),
      signal,
    })
  }

  /** Another process may be starting the cloud: waits until every service answers, or that process is gone. */
  private async untilServed(config: Config, pid: number, signal: AbortSignal): Promise<void> {
    const { runningPid } = await import('../daemons/background.ts')
    const until = this.clock.now() + (this.timeoutMs ?? servedWithinMs)
    for (;;) {
      signal.throwIfAborted()
      const late = runningPid(config) === undefined || this.clock.now() > until
      try {
        const queues = await (await this.bus()).queues(sharedTopics)
        // The request that follows reports what is missing.
        if (late || queues.every((queue) => queue.consumers > 0)) return
      } catch (e) {
        if (!isFailure(e, 'BusDown')) throw e
        if (!late) continue
        const { log } = places(config.stateDir)
        throw new CommandError(
          `A cloud was already started here (process ${pid}) but does not answer: ${e.params.why}.`,
          `It may be waiting for something: ${log}. Stop it: nova down`,
          1,
          e,
        )
      } finally {
        await this.clock.sleep(100, signal)
      }
    }
  }
}

/** What becomes of the flags of an `up` that finds the cloud running. */
async function alreadyUp(config: Config, told: Readonly<Record<string, unknown>>): Promise<string> {
  const { keptHosts } = await import('../core/config/host-name.ts')
  const running = keptHosts(config.stateDir)?.driver
  const driver = told['compute.driver']
  if (running === undefined || driver === undefined || driver === 'auto' || driver === running)
    return 'The cloud is already running with its earlier flags. To use the new ones: nova down, then nova up again'
  return `The cloud is already running with --driver ${running}; --driver ${driver} takes effect after: nova down; nova up --driver ${driver}`
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** The exit of a command that a signal ended. */
const codes: Partial<Record<NodeJS.Signals, number>> = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 }

/** The result of `work`; rejects with the signal's reason as soon as the signal aborts. */
function orAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const aborted = new Promise<never>((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason)
    signal.addEventListener('abort', () => reject(signal.reason))
  })
  // From here on nobody waits for the work, whatever becomes of it.
  work.catch(() => undefined)
  return Promise.race([work, aborted])
}
