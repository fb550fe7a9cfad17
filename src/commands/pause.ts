import { InstanceVerb } from '../cli/verbs.ts'

export default class Pause extends InstanceVerb {
  static override summary = 'Pause an instance; its memory stays on the host.'
  static override description =
    'The guest stops between two instructions and uses no CPU. Its memory stays in use on the host.\n\nThe instance must be ACTIVE; it becomes PAUSED.'
  static override examples = [
    '<%= config.bin %> pause web',
    '<%= config.bin %> pause web db1 --wait',
    '<%= config.bin %> pause web -f json',
  ]

  protected readonly kind = 'pause'
}
