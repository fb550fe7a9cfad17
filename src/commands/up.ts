import * as Flags from '@oclif/core/flags'
import { ensureBuiltinImage } from '../cli/builtin-image.ts'
import { NovaCommand } from '../cli/command.ts'
import { pairs, set, whole } from '../cli/flags.ts'
import { oneLineStatus } from '../cli/status-view.ts'
import { isFailure } from '../core/base/errors.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'

/** The longest that a start of somebody else may take. */
const servedWithinMs = 20_000

export default class Up extends NovaCommand {
  static override summary = "Start this machine's cloud: broker, database and all daemons."
  static override description =
    'Runs in the background under a supervisor and returns when every service answers. Running it again is harmless. Machines that an earlier life left running are taken up again.'
  static override examples = [
    '<%= config.bin %> up',
    { description: 'A hundred pretended hosts:', command: '<%= config.bin %> up --driver fake --hosts 100' },
    { description: 'For systemd and containers:', command: '<%= config.bin %> up --foreground' },
  ]
  static override flags = {
    driver: Flags.string({
      env: 'NOVA_DRIVER',
      helpValue: 'auto|qemu|fake',
      summary: 'The hypervisor of this host. auto: QEMU where it is installed, else fake.',
    }),
    hosts: whole({ min: 1, max: 10_000 })({
      env: 'NOVA_HOSTS',
      helpValue: 'N',
      summary: 'How many compute hosts the fake driver plays.',
    }),
    set,
    foreground: Flags.boolean({
      env: 'NOVA_FOREGROUND',
      summary: 'Stay in front, log to standard error, end with the terminal.',
    }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Up)
    const told = { 'compute.driver': flags.driver, 'fake.hosts': flags.hosts, ...pairs('set', flags.set) }
    const config = await this.settings(told)
    if (flags.foreground) {
      const [{ runDaemon }, { startAll }] = await Promise.all([
        import('../daemons/runtime.ts'),
        import('../daemons/all.ts'),
      ])
      return runDaemon('up', config, startAll)
    }
    const { runningPid, startInBackground } = await import('../daemons/background.ts')
    let already = runningPid(config)
    if (already === undefined) {
      this.note('Starting broker, database, conductor, scheduler and compute …')
      if (!(await startInBackground(config, this.config.root, told))) already = runningPid(config)
    } else if (Object.values(told).some((value) => value !== undefined))
      this.note('It runs as it was started: flags hold from the next start on. Stop it first with: nova down')
    if (already !== undefined) await this.untilServed(() => runningPid(config) !== undefined)
    const image = await ensureBuiltinImage(this.config.root, config, {
      ask: (method, args) => this.ask(method, args),
      note: (text) => this.note(text),
    })
    const status = await this.ask('status', {})
    this.write(
      [
        already === undefined ? 'The cloud is up.' : `The cloud is up already (process ${already}).`,
        `  ${oneLineStatus(status)}`,
        `  state   ${config.stateDir}`,
        image ? `  image   ${image}` : undefined,
        '  next    nova boot web --wait',
      ]
        .filter((line) => line !== undefined)
        .map((line) => `${line}\n`)
        .join(''),
    )
  }
  /** Somebody else's start may be under way: waits until every service listens, or its process is gone. */
  private async untilServed(lives: () => boolean): Promise<void> {
    const until = this.clock.now() + (this.timeoutMs ?? servedWithinMs)
    for (;;) {
      try {
        const queues = await (await this.bus()).queues(sharedTopics)
        if (queues.every((queue) => queue.consumers > 0)) return
      } catch (e) {
        if (!isFailure(e, 'BusDown') || !lives()) throw e
      }
      // What is missing is told by the question that follows.
      if (!lives() || this.clock.now() > until) return
      await this.clock.sleep(100)
    }
  }
}
