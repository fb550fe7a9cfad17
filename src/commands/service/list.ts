import { NovaCommand } from '../../cli/command.ts'
import { serviceView } from '../../cli/views.ts'

export default class ServiceList extends NovaCommand {
  static override summary = 'List the daemons of the cloud, and whether they are up.'
  static override examples = [
    '<%= config.bin %> service list',
    '<%= config.bin %> service list -f value -c binary -c host -c state',
  ]
  static override hiddenAliases = ['service-list']
  static override readonly view = serviceView

  async run(): Promise<void> {
    await this.parse(ServiceList)
    const { services } = await this.ask('serviceList', {})
    await this.showRows(serviceView, services)
  }
}
