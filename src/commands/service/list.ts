import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { serviceView } from '../../cli/views.ts'
import { pageIn, readList } from '../../core/contracts/pages.ts'

export default class ServiceList extends NovaCommand {
  static override summary = 'List the daemons of the cloud and whether they are up.'
  static override examples = [
    '<%= config.bin %> service list',
    '<%= config.bin %> service list -f value -c binary -c host -c state',
  ]
  static override hiddenAliases = ['service-list']
  static override flags = page('service')
  static override readonly view = serviceView

  async run(): Promise<void> {
    const { flags } = await this.parse(ServiceList)
    const ask = async (asked: object) => pageIn(await this.ask('serviceList', asked), 'services')
    await this.showRows(
      serviceView,
      await readList(ask, (service) => service.id, pickDefined(flags, ['limit', 'marker'])),
    )
  }
}
