import { NovaCommand } from '../cli/command.ts'
import { instance, name } from '../cli/flags.ts'
import { instanceRows } from '../cli/views.ts'

export default class Rename extends NovaCommand {
  static override summary = 'Rename an instance.'
  static override description = 'The guest keeps the host name that it was booted with.'
  static override examples = ['<%= config.bin %> rename web web-old', '<%= config.bin %> rename web web-old -f json']
  static override args = { instance, name: name('The new name.') }
  static override readonly view = instanceRows

  async run(): Promise<void> {
    const { args } = await this.parse(Rename)
    const renamed = await this.ask('instanceRename', { instance: args.instance, name: args.name })
    if (this.forPeople) this.write(`${args.instance} is now called ${renamed.name}\n`)
    else await this.showOne(instanceRows, renamed)
  }
}
