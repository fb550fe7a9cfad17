import { NovaCommand } from '../../cli/command.ts'
import { pairs, set } from '../../cli/flags.ts'

export default class DaemonCompute extends NovaCommand {
  static override summary = 'Run the compute service of this host.'
  static override description = 'Needs the bus but no database: it asks the conductors.'
  static override examples = [
    '<%= config.bin %> daemon compute',
    '<%= config.bin %> daemon compute --config /etc/nova/nova.toml',
  ]

  static override flags = { set }

  async run(): Promise<void> {
    const { flags } = await this.parse(DaemonCompute)
    const config = await this.settings(pairs('set', flags.set))
    const [{ runDaemon }, { runCompute }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/compute.ts'),
    ])
    return runDaemon('compute', config, runCompute)
  }
}
