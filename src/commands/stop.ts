import { InstanceVerb } from '../cli/verbs.ts'

export default class Stop extends InstanceVerb {
  static override summary = 'Shut an instance down; its disk stays.'
  static override description =
    'The guest is asked to shut down. If it has not done so within compute.shutdown_timeout, its power is cut.\n\nThe instance must be ACTIVE, PAUSED, SUSPENDED or ERROR; it becomes SHUTOFF.'
  static override examples = ['<%= config.bin %> stop web', '<%= config.bin %> stop web db1 --wait']

  protected readonly kind = 'stop'
}
