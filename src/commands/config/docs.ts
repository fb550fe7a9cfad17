import { NovaCommand } from '../../cli/command.ts'
import { type Cell, view } from '../../cli/view.ts'
import type { OptionRow } from '../../core/config/schema.ts'

const rows = view<OptionRow, Record<string, (r: OptionRow) => Cell | undefined>>(
  {
    key: (r) => r.key,
    default: (r) => r.default as Cell,
    unit: (r) => r.unit,
    what_for: (r) => r.why,
    environment: (r) => r.env,
  },
  ['key', 'default', 'unit', 'what_for'],
)

export default class ConfigDocs extends NovaCommand {
  static override summary = 'List every option with its default, unit and purpose.'
  static override examples = ['<%= config.bin %> config docs', '<%= config.bin %> config docs -f csv']
  static override view = rows

  async run(): Promise<void> {
    await this.parse(ConfigDocs)
    const { optionRows } = await import('../../core/config/schema.ts')
    await this.showRows(rows, optionRows())
  }
}
