import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { flavorView } from '../../cli/views.ts'

export default class FlavorShow extends NovaCommand {
  static override summary = 'Show one flavor.'
  static override examples = ['<%= config.bin %> flavor show m1.tiny', '<%= config.bin %> flavor show m1.tiny -f json']
  static override hiddenAliases = ['flavor-show']
  static override args = { flavor: name('Name or id of the flavor.') }
  static override readonly view = flavorView

  async run(): Promise<void> {
    const { args } = await this.parse(FlavorShow)
    await this.showOne(flavorView, await this.ask('flavorShow', { flavor: args.flavor }))
  }
}
