import { InstanceVerb } from '../cli/verbs.ts'

export default class Unpause extends InstanceVerb {
  static override summary = 'Let a paused instance go on.'
  static override description =
    'The guest goes on with the instruction at which it was paused.\n\nWorks on an instance that is PAUSED; it is ACTIVE then.'
  static override examples = ['<%= config.bin %> unpause web', '<%= config.bin %> unpause web db1 --wait']

  protected readonly kind = 'unpause'
}
