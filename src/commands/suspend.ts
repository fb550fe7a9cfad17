import { InstanceVerb } from '../cli/verbs.ts'

export default class Suspend extends InstanceVerb {
  static override summary = 'Save the memory of an instance to disk and end its process.'
  static override description =
    'The instance uses no CPU and no memory of its host any more. The more memory it has, the longer this takes.\n\nThe instance must be ACTIVE; it becomes SUSPENDED.'
  static override examples = ['<%= config.bin %> suspend web', '<%= config.bin %> suspend web db1 --wait']

  protected readonly kind = 'suspend'
}
