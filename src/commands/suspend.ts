import { InstanceVerb } from '../cli/verbs.ts'

export default class Suspend extends InstanceVerb {
  static override summary = 'Save the memory of an instance to disk and end its process.'
  static override description =
    'Nothing of it runs any more, and its memory is free for others. Takes longer the more memory it has.\n\nWorks on an instance that is ACTIVE; it is SUSPENDED then.'
  static override examples = ['<%= config.bin %> suspend web', '<%= config.bin %> suspend web db1 --wait']

  protected readonly kind = 'suspend'
}
