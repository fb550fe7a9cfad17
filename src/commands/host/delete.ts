import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { hostGoneView } from '../../cli/views.ts'

export default class HostDelete extends NovaCommand {
  static override summary = 'Delete a host and its bus login; the host must be down and empty.'
  static override examples = ['<%= config.bin %> host delete host1']
  static override hiddenAliases = ['host-delete']
  static override args = { host: name('Name of the host.') }
  static override readonly view = hostGoneView

  async run(): Promise<void> {
    const { args } = await this.parse(HostDelete)
    const gone = await this.ask('hostDelete', { host: args.host })
    const login = gone.user === undefined ? '' : `, and its login ${gone.user}`
    if (this.forPeople) this.write(`${gone.host}: deleted${login}\n`)
    else await this.showOne(hostGoneView, gone)
  }
}
