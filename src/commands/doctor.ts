import { NovaCommand } from '../cli/command.ts'
import { type Cell, view } from '../cli/view.ts'
import type { Check } from '../daemons/doctor.ts'

const checkView = view<Check, Record<string, (c: Check) => Cell | undefined>>({
  check: (c) => c.check,
  state: (c) => c.state,
  found: (c) => c.found,
  fix: (c) => c.fix,
})

export default class Doctor extends NovaCommand {
  static override summary =
    'Check bus, database, clock, disk space, QEMU and accelerator, and suggest a fix for each problem.'
  static override description = 'Changes nothing. Exits with 1 if a check failed.'
  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor -f json']
  static override view = checkView

  async run(): Promise<void> {
    await this.parse(Doctor)
    const { examine } = await import('../daemons/doctor.ts')
    const checks = await examine(await this.settings())
    await this.showRows(checkView, checks)
    if (checks.some((check) => check.state === 'failed')) process.exitCode = 1
  }
}
