import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostView } from '../../cli/views.ts'

export default class HostShow extends NovaCommand {
  static override summary = 'Show one host and the instances on it.'
  static override examples = ['<%= config.bin %> host show host1', '<%= config.bin %> host show host1 -f json']
  static override hiddenAliases = ['host-describe', 'host-show', 'hypervisor-show', 'hypervisor:show']
  static override args = { host: name('Name of the host.') }
  static override readonly view = hostView

  async run(): Promise<void> {
    const { args } = await this.parse(HostShow)
    await this.showOne(hostView, await this.ask('hostShow', { host: args.host }))
  }
}
