import { NovaCommand } from '../../cli/command.ts'
import { pairs, set } from '../../cli/flags.ts'

export default class DaemonConductor extends NovaCommand {
  static override summary = 'Run a conductor: it owns the database and carries each operation to its end.'
  static override description = 'Needs the bus and the database. Several may run.'
  static override examples = [
    '<%= config.bin %> daemon conductor',
    '<%= config.bin %> daemon conductor --config /etc/nova/nova.toml',
  ]

  static override flags = { set }

  async run(): Promise<void> {
    const { flags } = await this.parse(DaemonConductor)
    const config = await this.settings(pairs('set', flags.set))
    const [{ runDaemon }, { runConductor }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/conductor.ts'),
    ])
    return runDaemon('conductor', config, runConductor)
  }
}
