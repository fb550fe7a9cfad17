import { NovaCommand } from '../../cli/command.ts'
import { type Cell, view } from '../../cli/view.ts'

type Version = { current: string; latest: string }
const versionView = view<Version, Record<string, (v: Version) => Cell | undefined>>({
  current: (v) => v.current,
  latest: (v) => v.latest,
})

export default class DbVersion extends NovaCommand {
  static override summary = "Show the database's migration and the newest migration that this program knows."
  static override examples = ['<%= config.bin %> db version', '<%= config.bin %> db version -f value -c current']
  static override view = versionView

  async run(): Promise<void> {
    await this.parse(DbVersion)
    const { versionNow } = await import('../../daemons/database.ts')
    await this.showOne(versionView, await versionNow(await this.settings()))
  }
}
