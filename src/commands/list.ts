import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../cli/command.ts'
import { page } from '../cli/flags.ts'
import { pickDefined } from '../cli/pick-defined.ts'
import { deletedRows, instanceRows } from '../cli/views.ts'
import { pageIn, readList, readNewest } from '../core/contracts/pages.ts'
import { instanceStates } from '../core/model/instance.ts'

export default class List extends NovaCommand {
  static override summary = 'List instances.'
  static override description =
    'Lists the instances of your project, newest first. Filters can be combined; an instance must match all of them.'
  static override examples = [
    '<%= config.bin %> list',
    '<%= config.bin %> list --status ERROR --all-projects',
    'Names alone, for a script:\n<%= config.bin %> list -f value -c name',
    '<%= config.bin %> list --deleted --limit 10 -f json',
  ]
  static override flags = {
    name: Flags.string({ helpValue: 'NAME', summary: 'Only instances whose name contains this text.' }),
    status: Flags.option({ options: instanceStates })({ summary: 'Only instances with this status.' }),
    host: Flags.string({ helpValue: 'HOST', summary: 'Only instances on this host.' }),
    flavor: Flags.string({ helpValue: 'FLAVOR', summary: 'Only instances with this flavor.' }),
    image: Flags.string({ helpValue: 'IMAGE', summary: 'Only instances booted from this image.' }),
    'all-projects': Flags.boolean({
      aliases: ['all-tenants'],
      env: 'NOVA_ALL_PROJECTS',
      summary: 'Instances of all projects (administrators).',
    }),
    deleted: Flags.boolean({ summary: 'Deleted instances, up to conductor.history_days (90 days) ago.' }),
    ...page('instance'),
  }
  static override readonly view = instanceRows

  async run(): Promise<void> {
    const { flags } = await this.parse(List)
    const filter = {
      ...pickDefined(flags, ['name', 'status', 'host', 'flavor', 'image']),
      ...(flags['all-projects'] ? { allProjects: true } : {}),
    }
    const part = pickDefined(flags, ['limit', 'marker'])
    const list = async (asked: object) => pageIn(await this.ask('instanceList', { ...filter, ...asked }), 'instances')
    if (!flags.deleted) return this.showRows(instanceRows, await readList(list, ({ id }) => id, part))
    const deleted = (asked: object) => list({ ...asked, deleted: true })
    await this.showRows(
      deletedRows,
      await readNewest(
        deleted,
        ({ id }) => id,
        part,
        (text) => this.note(text),
      ),
    )
  }
}
