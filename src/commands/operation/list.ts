import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { operationRows, operationTable } from '../../cli/views.ts'
import { pageIn, readNewest } from '../../core/contracts/pages.ts'
import { operationStates } from '../../core/model/operation.ts'

export default class OperationList extends NovaCommand {
  static override summary = 'List operations, newest first. Every change is an operation.'
  static override examples = [
    '<%= config.bin %> operation list --open',
    '<%= config.bin %> operation list --instance web',
    '<%= config.bin %> operation list --state failed --limit 5',
  ]
  static override flags = {
    instance: Flags.string({ helpValue: 'INSTANCE', summary: 'Only operations on this instance.' }),
    state: Flags.option({ options: operationStates })({ summary: 'Only operations in this state.' }),
    open: Flags.boolean({ exclusive: ['state'], summary: 'Only operations that have not ended.' }),
    ...page('operation'),
  }
  static override readonly view = operationRows

  async run(): Promise<void> {
    const { flags } = await this.parse(OperationList)
    const filter = { ...pickDefined(flags, ['instance', 'state']), ...(flags.open ? { open: true } : {}) }
    const list = async (asked: object) => pageIn(await this.ask('operationList', { ...filter, ...asked }), 'operations')
    const part = pickDefined(flags, ['limit', 'marker'])
    const operations = await readNewest(
      list,
      ({ id }) => id,
      part,
      (text) => this.note(text),
    )
    await this.showRows(this.forPeople ? operationTable(operations) : operationRows, operations)
  }
}
