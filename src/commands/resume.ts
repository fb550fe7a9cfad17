import { InstanceVerb } from '../cli/verbs.ts'

export default class Resume extends InstanceVerb {
  static override summary = 'Resume a suspended instance.'
  static override description =
    'The guest continues from the memory that suspend saved to disk.\n\nThe instance must be SUSPENDED; it becomes ACTIVE.'
  static override examples = ['<%= config.bin %> resume web', '<%= config.bin %> resume web --wait --timeout 120']

  protected readonly kind = 'resume'
}
