import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { flavorView } from '../../cli/views.ts'
import { pageIn, readList } from '../../core/contracts/pages.ts'

export default class FlavorList extends NovaCommand {
  static override summary = 'List flavors: the sizes for instances.'
  static override examples = ['<%= config.bin %> flavor list', '<%= config.bin %> flavor list -f csv']
  static override hiddenAliases = ['flavor-list']
  static override flags = page('flavor')
  static override readonly view = flavorView

  async run(): Promise<void> {
    const { flags } = await this.parse(FlavorList)
    const ask = async (asked: object) => pageIn(await this.ask('flavorList', asked), 'flavors')
    await this.showRows(flavorView, await readList(ask, (flavor) => flavor.id, pickDefined(flags, ['limit', 'marker'])))
  }
}
