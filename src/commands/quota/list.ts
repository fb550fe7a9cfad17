import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { quotaView } from '../../cli/views.ts'
import { pageIn, readList } from '../../core/contracts/pages.ts'

export default class QuotaList extends NovaCommand {
  static override summary = 'List the quotas of all projects that are known.'
  static override examples = ['<%= config.bin %> quota list', '<%= config.bin %> quota list -c project -c instances']
  static override flags = page('project')
  static override readonly view = quotaView

  async run(): Promise<void> {
    const { flags } = await this.parse(QuotaList)
    const ask = async (asked: object) => pageIn(await this.ask('quotaList', asked), 'quotas')
    await this.showRows(
      quotaView,
      await readList(ask, (quota) => quota.project, pickDefined(flags, ['limit', 'marker'])),
    )
  }
}
