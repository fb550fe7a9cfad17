import { InstanceVerb } from '../cli/verbs.ts'

export default class Delete extends InstanceVerb {
  static override summary = 'Delete instances, with their disks.'
  static override description =
    'Works in every state, ends whatever else is being done to the instance, and may be repeated. What it was stays in the history for a while: nova list --deleted.'
  static override examples = ['<%= config.bin %> delete web', '<%= config.bin %> delete web db1 cache-3 --wait']

  protected readonly kind = 'delete'
}
