import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { serviceView } from '../../cli/views.ts'

export default class ServiceEnable extends NovaCommand {
  static override summary = 'Let the scheduler use a host again.'
  static override examples = ['<%= config.bin %> service enable host1']
  static override hiddenAliases = ['service-enable']
  static override args = { host: name('Name of the host.') }
  static override flags = {
    binary: Flags.string({ helpValue: 'NAME', summary: 'A daemon other than compute.' }),
  }
  static override readonly view = serviceView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ServiceEnable)
    const request = { host: args.host, enabled: true, ...pickDefined(flags, ['binary']) }
    await this.showOne(serviceView, await this.ask('serviceSet', request))
  }
}
