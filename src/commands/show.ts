import { NovaCommand } from '../cli/command.ts'
import { instance } from '../cli/flags.ts'
import { instanceView } from '../cli/views.ts'

export default class Show extends NovaCommand {
  static override summary = 'Show one instance in full.'
  static override examples = [
    '<%= config.bin %> show web',
    'The host, for a script:\n<%= config.bin %> show web -f value -c host',
    '<%= config.bin %> show web -f json',
  ]
  static override args = { instance }
  static override readonly view = instanceView

  async run(): Promise<void> {
    const { args } = await this.parse(Show)
    await this.showOne(instanceView, await this.ask('instanceShow', { instance: args.instance }))
  }
}
