import { NovaCommand } from '../../cli/command.ts'
import { type Cell, view } from '../../cli/view.ts'

type Row = { key: string; value: Cell; source: string }
const rows = view<Row, Record<string, (r: Row) => Cell | undefined>>({
  key: (r) => r.key,
  value: (r) => r.value,
  source: (r) => r.source,
})

export default class ConfigShow extends NovaCommand {
  static override summary = 'Show the effective configuration and where each value comes from.'
  static override description = 'Passwords in URLs are hidden.'
  static override examples = ['<%= config.bin %> config show', '<%= config.bin %> config show -f json']
  static override view = rows

  async run(): Promise<void> {
    await this.parse(ConfigShow)
    const [config, { shownOptions }] = await Promise.all([this.settings(), import('../../core/config/show.ts')])
    await this.showRows(rows, shownOptions(config) as Row[])
  }
}
