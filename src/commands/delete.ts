import { InstanceVerb } from '../cli/verbs.ts'

export default class Delete extends InstanceVerb {
  static override summary = 'Delete instances and their disks.'
  static override description =
    'The instance may be in any state. Any other operation on the instance is cancelled. Repeating the command is safe. The record stays for a while: nova list --deleted.'
  static override examples = ['<%= config.bin %> delete web', '<%= config.bin %> delete web db1 cache-3 --wait']

  protected readonly kind = 'delete'
}
