import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostRows } from '../../cli/views.ts'

export default class HostSet extends NovaCommand {
  static override summary = "Set a host's availability zone, or accept that it has more than before."
  static override description =
    'Only a host without instances can be moved into another zone. A host that has a login of its own and reports more CPUs, memory or disk than it had is not believed until you accept it: see "nova event list".'
  static override examples = [
    '<%= config.bin %> host set host1 --availability-zone east',
    '<%= config.bin %> host set host1 --accept-capacity',
  ]
  static override hiddenAliases = ['host-set']
  static override args = { host: name('Name of the host.') }
  static override flags = {
    'availability-zone': Flags.string({
      helpValue: 'ZONE',
      summary: 'The zone that the host is in from now on.',
      atLeastOne: ['availability-zone', 'accept-capacity'],
    }),
    'accept-capacity': Flags.boolean({
      summary: 'The next time that the host reports more than it was known to have, that counts.',
      atLeastOne: ['availability-zone', 'accept-capacity'],
    }),
  }
  static override readonly view = hostRows

  async run(): Promise<void> {
    const { args, flags } = await this.parse(HostSet)
    const { 'availability-zone': availabilityZone, 'accept-capacity': acceptCapacity } = flags
    const { host } = args
    const accepted = acceptCapacity ? await this.ask('hostAcceptCapacity', { host }) : undefined
    const moved = availabilityZone === undefined ? accepted : await this.ask('hostSet', { host, availabilityZone })
    if (moved) await this.showOne(hostRows, moved)
  }
}
