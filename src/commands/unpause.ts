import { InstanceVerb } from '../cli/verbs.ts'

export default class Unpause extends InstanceVerb {
  static override summary = 'Unpause a paused instance.'
  static override description =
    'The guest continues with the instruction at which it was paused.\n\nThe instance must be PAUSED; it becomes ACTIVE.'
  static override examples = ['<%= config.bin %> unpause web', '<%= config.bin %> unpause web db1 --wait']

  protected readonly kind = 'unpause'
}
