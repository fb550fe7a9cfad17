import { NovaCommand } from '../../cli/command.ts'

export default class DaemonBroker extends NovaCommand {
  static override summary = 'Run the embedded AMQP broker by itself.'
  static override description = 'For one machine, or for tests; many machines use RabbitMQ.'
  static override examples = [
    '<%= config.bin %> daemon broker',
    '<%= config.bin %> daemon broker --config /etc/nova/nova.toml',
  ]

  async run(): Promise<void> {
    await this.parse(DaemonBroker)
    const config = await this.settings()
    const [{ runDaemon }, { startEmbeddedBroker }] = await Promise.all([
      import('../../daemons/runtime.ts'),
      import('../../daemons/broker.ts'),
    ])
    return runDaemon('broker', config, startEmbeddedBroker)
  }
}
