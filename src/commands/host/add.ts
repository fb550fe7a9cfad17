import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostSetup } from '../../cli/host-setup.ts'
import { hostLoginView } from '../../cli/views.ts'

export default class HostAdd extends NovaCommand {
  static override summary = 'Create a bus login for a host and print its configuration.'
  static override description =
    "The login can use the host's own queue and send what hosts may ask of the conductor, and nothing else. Running the command again " +
    'creates a new password: the old one is no longer accepted, and connections that used it are closed.'
  static override examples = ['<%= config.bin %> host add host1', '<%= config.bin %> host add host1 -f value -c url']
  static override hiddenAliases = ['host-add']
  static override args = { host: name('Name of the host in the cloud.') }
  static override readonly view = hostLoginView

  async run(): Promise<void> {
    const { args } = await this.parse(HostAdd)
    const login = await this.ask('hostAdd', { host: args.host })
    if (login.known)
      this.note(`${login.host} already had a login: it has a new password now, and the old one is no longer accepted.`)
    if (this.forPeople) this.write(hostSetup(login))
    else await this.showOne(hostLoginView, login)
  }
}
