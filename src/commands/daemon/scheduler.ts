import { NovaCommand } from '../../cli/command.ts'

export default class DaemonScheduler extends NovaCommand {
  static override summary = 'Run a scheduler: it finds a host for each new instance.'
  static override description = 'Needs bus and database. As many as wanted may run.'
  static override examples = [
    '<%= config.bin %> daemon scheduler',
    '<%= config.bin %> daemon scheduler --config /etc/nova/nova.toml',
  ]

  async run(): Promise<void> {
    await this.parse(DaemonScheduler)
    const config = await this.settings()
    const [{ runDaemon }, { runScheduler }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/scheduler.ts'),
    ])
    return runDaemon('scheduler', config, runScheduler)
  }
}
