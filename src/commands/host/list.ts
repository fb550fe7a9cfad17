import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { hostRows } from '../../cli/views.ts'
import { pageIn, readList } from '../../core/contracts/pages.ts'

export default class HostList extends NovaCommand {
  static override summary = 'List hosts with their used and allocatable resources.'
  static override examples = ['<%= config.bin %> host list', '<%= config.bin %> host list -f json']
  static override hiddenAliases = ['host-list', 'hypervisor-list', 'hypervisor:list']
  static override flags = page('host')
  static override readonly view = hostRows

  async run(): Promise<void> {
    const { flags } = await this.parse(HostList)
    const ask = async (asked: object) => pageIn(await this.ask('hostList', asked), 'hosts')
    await this.showRows(hostRows, await readList(ask, (host) => host.name, pickDefined(flags, ['limit', 'marker'])))
  }
}
