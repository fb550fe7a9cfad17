import { NovaCommand } from '../../cli/command.ts'
import { pairs, set } from '../../cli/flags.ts'

export default class DaemonScheduler extends NovaCommand {
  static override summary = 'Run a scheduler: it chooses the host for a new or moving instance.'
  static override description = 'Needs the bus and the database. Several may run.'
  static override examples = [
    '<%= config.bin %> daemon scheduler',
    '<%= config.bin %> daemon scheduler --config /etc/nova/nova.toml',
  ]

  static override flags = { set }

  async run(): Promise<void> {
    const { flags } = await this.parse(DaemonScheduler)
    const config = await this.settings(pairs('set', flags.set))
    const [{ runDaemon }, { runScheduler }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/scheduler.ts'),
    ])
    return runDaemon('scheduler', config, runScheduler)
  }
}
