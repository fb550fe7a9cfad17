import { InstanceVerb } from '../cli/verbs.ts'

export default class Resume extends InstanceVerb {
  static override summary = 'Bring a suspended instance back to where it was.'
  static override description = 'Works on an instance that is SUSPENDED; it is ACTIVE then.'
  static override examples = ['<%= config.bin %> resume web', '<%= config.bin %> resume web --wait --timeout 120']

  protected readonly kind = 'resume'
}
