import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostRows } from '../../cli/views.ts'

export default class HostSet extends NovaCommand {
  static override summary = 'Move a host without instances into another availability zone.'
  static override examples = ['<%= config.bin %> host set host1 --availability-zone east']
  static override hiddenAliases = ['host-set']
  static override args = { host: name('Name of the host.') }
  static override flags = {
    'availability-zone': Flags.string({
      required: true,
      helpValue: 'ZONE',
      summary: 'The zone that the host is in from now on.',
    }),
  }
  static override readonly view = hostRows

  async run(): Promise<void> {
    const { args, flags } = await this.parse(HostSet)
    await this.showOne(
      hostRows,
      await this.ask('hostSet', { host: args.host, availabilityZone: flags['availability-zone'] }),
    )
  }
}
