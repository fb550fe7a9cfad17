import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostSetup } from '../../cli/host-setup.ts'
import { hostLoginView } from '../../cli/views.ts'

export default class HostAdd extends NovaCommand {
  static override summary = 'Give a host a login of its own on the bus, and print what to put there.'
  static override description =
    "The login reaches the host's own queue and what hosts may tell the conductor, and nothing of other hosts. Said again, it " +
    'makes a new password: the old one counts no more, and whoever used it is disconnected.'
  static override examples = ['<%= config.bin %> host add host1', '<%= config.bin %> host add host1 -f value -c url']
  static override hiddenAliases = ['host-add']
  static override args = { host: name('What the host is to be called in the cloud.') }
  static override readonly view = hostLoginView

  async run(): Promise<void> {
    const { args } = await this.parse(HostAdd)
    const login = await this.ask('hostAdd', { host: args.host })
    if (login.known) this.note(`${login.host} had a login: it has a new password now, and the old one counts no more.`)
    if (this.forPeople) this.write(hostSetup(login))
    else await this.showOne(hostLoginView, login)
  }
}
