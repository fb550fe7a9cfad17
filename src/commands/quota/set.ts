import { NovaCommand } from '../../cli/command.ts'
import { misuse } from '../../cli/command-error.ts'
import { limitMib, name, whole } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { quotaView } from '../../cli/views.ts'

const limit = whole({ min: -1, max: 1_000_000_000 })

export default class QuotaSet extends NovaCommand {
  static override summary = 'Set limits of a project; -1 means no limit.'
  static override description =
    'Limits that are not named stay as they are. A project keeps what it uses beyond a new limit, and gets no more.'
  static override examples = [
    '<%= config.bin %> quota set lab --instances 50 --cores 100 --ram 200G',
    '<%= config.bin %> quota set lab --instances -1',
  ]
  static override hiddenAliases = ['quota-update']
  static override args = { project: name('Name of the project.') }
  static override flags = {
    instances: limit({ helpValue: 'N', summary: 'Instances.' }),
    cores: limit({ helpValue: 'N', summary: 'Virtual CPUs.' }),
    ram: limitMib({ aliases: ['memory'], helpValue: 'MIB', summary: 'Memory, such as 512 (MiB) or 50G.' }),
    'image-size-total': limitMib({ helpValue: 'MIB', summary: 'Image files, such as 512 (MiB) or 100G.' }),
  }
  static override readonly view = quotaView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(QuotaSet)
    const said = { ...flags, image_size_total: flags['image-size-total'] }
    const limits = pickDefined(said, ['instances', 'cores', 'ram', 'image_size_total'])
    if (Object.keys(limits).length === 0) misuse('No limit is named.', 'nova quota set PROJECT --instances N')
    await this.showOne(quotaView, await this.ask('quotaSet', { project: args.project, limits }))
  }
}
