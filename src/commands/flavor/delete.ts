import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { goneView } from '../../cli/views.ts'

export default class FlavorDelete extends NovaCommand {
  static override summary = 'Delete a flavor; instances that use it are not changed.'
  static override examples = ['<%= config.bin %> flavor delete big', '<%= config.bin %> flavor delete big -f json']
  static override hiddenAliases = ['flavor-delete']
  static override args = { flavor: name('Name or id of the flavor.') }
  static override readonly view = goneView

  async run(): Promise<void> {
    const { args } = await this.parse(FlavorDelete)
    const gone = await this.ask('flavorDelete', { flavor: args.flavor })
    if (this.forPeople) this.write(`${gone.name}: deleted\n`)
    else await this.showOne(goneView, gone)
  }
}
