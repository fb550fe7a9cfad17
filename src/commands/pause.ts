import { InstanceVerb } from '../cli/verbs.ts'

export default class Pause extends InstanceVerb {
  static override summary = 'Freeze an instance; its memory stays where it is.'
  static override description =
    'The guest stops between two instructions and takes no processor time any more. Its memory stays in use on the host.\n\nWorks on an instance that is ACTIVE; it is PAUSED then.'
  static override examples = [
    '<%= config.bin %> pause web',
    '<%= config.bin %> pause web db1 --wait',
    '<%= config.bin %> pause web -f json',
  ]

  protected readonly kind = 'pause'
}
