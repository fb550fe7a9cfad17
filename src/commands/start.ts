import { InstanceVerb } from '../cli/verbs.ts'

export default class Start extends InstanceVerb {
  static override summary = 'Start an instance that was shut down.'
  static override description = 'Works on an instance that is SHUTOFF; it is ACTIVE then.'
  static override examples = ['<%= config.bin %> start web', '<%= config.bin %> start web db1 --wait']

  protected readonly kind = 'start'
}
