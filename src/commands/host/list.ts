import { NovaCommand } from '../../cli/command.ts'
import { hostRows } from '../../cli/views.ts'

export default class HostList extends NovaCommand {
  static override summary = 'List hosts, with what is used and what may be promised of each.'
  static override examples = ['<%= config.bin %> host list', '<%= config.bin %> host list -f json']
  static override hiddenAliases = ['host-list', 'hypervisor-list', 'hypervisor:list']
  static override readonly view = hostRows

  async run(): Promise<void> {
    await this.parse(HostList)
    const { hosts } = await this.ask('hostList', {})
    await this.showRows(hostRows, hosts)
  }
}
