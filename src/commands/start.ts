import { InstanceVerb } from '../cli/verbs.ts'

export default class Start extends InstanceVerb {
  static override summary = 'Start an instance that is shut off.'
  static override description = 'The instance must be SHUTOFF; it becomes ACTIVE.'
  static override examples = ['<%= config.bin %> start web', '<%= config.bin %> start web db1 --wait']

  protected readonly kind = 'start'
}
