import { NovaCommand } from '../../cli/command.ts'
import { flavorView } from '../../cli/views.ts'

export default class FlavorList extends NovaCommand {
  static override summary = 'List flavors: the sizes that instances can have.'
  static override examples = ['<%= config.bin %> flavor list', '<%= config.bin %> flavor list -f csv']
  static override hiddenAliases = ['flavor-list']
  static override readonly view = flavorView

  async run(): Promise<void> {
    await this.parse(FlavorList)
    const { flavors } = await this.ask('flavorList', {})
    await this.showRows(flavorView, flavors)
  }
}
