import * as Args from '@oclif/core/args'
import { NovaCommand } from '../../cli/command.ts'
import { quotaView } from '../../cli/views.ts'

export default class QuotaShow extends NovaCommand {
  static override summary = 'Show what a project may use, and what it uses.'
  static override description =
    'Memory and images are in MiB; -1 means no limit. Other projects are for administrators.'
  static override examples = ['<%= config.bin %> quota show', '<%= config.bin %> quota show lab -f json']
  static override hiddenAliases = ['quota-show']
  static override args = {
    project: Args.string({ ignoreStdin: true, description: 'Name of the project; your own if omitted.' }),
  }
  static override readonly view = quotaView

  async run(): Promise<void> {
    const { args } = await this.parse(QuotaShow)
    const asked = args.project === undefined ? {} : { project: args.project }
    await this.showOne(quotaView, await this.ask('quotaShow', asked))
  }
}
