import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { serviceView } from '../../cli/views.ts'

export default class ServiceDisable extends NovaCommand {
  static override summary = 'Keep new instances off a host; instances already there keep running.'
  static override examples = ['<%= config.bin %> service disable host1 --reason "new memory on Monday"']
  static override hiddenAliases = ['service-disable']
  static override args = { host: name('Name of the host.') }
  static override flags = {
    binary: Flags.string({ helpValue: 'NAME', summary: 'A daemon other than compute.' }),
    reason: Flags.string({ helpValue: 'TEXT', summary: 'The reason, shown by nova service list.' }),
  }
  static override readonly view = serviceView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ServiceDisable)
    const request = { host: args.host, enabled: false, ...pickDefined(flags, ['binary', 'reason']) }
    await this.showOne(serviceView, await this.ask('serviceSet', request))
  }
}
