import { NovaCommand } from '../../cli/command.ts'
import { pairs, set } from '../../cli/flags.ts'

export default class DaemonBroker extends NovaCommand {
  static override summary = 'Run only the embedded AMQP broker.'
  static override description = 'For one machine, or for tests. For several machines, use RabbitMQ.'
  static override examples = [
    '<%= config.bin %> daemon broker',
    '<%= config.bin %> daemon broker --config /etc/nova/nova.toml',
  ]

  static override flags = { set }

  async run(): Promise<void> {
    const { flags } = await this.parse(DaemonBroker)
    const config = await this.settings(pairs('set', flags.set))
    const [{ runDaemon }, { startEmbeddedBroker }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/broker.ts'),
    ])
    return runDaemon('broker', config, startEmbeddedBroker)
  }
}
