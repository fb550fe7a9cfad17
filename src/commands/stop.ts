import { InstanceVerb } from '../cli/verbs.ts'

export default class Stop extends InstanceVerb {
  static override summary = 'Shut an instance down; its disk stays.'
  static override description =
    'The guest is asked to shut down, and its power is cut if it does not in time (compute.shutdown_timeout).\n\nWorks on an instance that is ACTIVE, PAUSED, SUSPENDED or ERROR; it is SHUTOFF then.'
  static override examples = ['<%= config.bin %> stop web', '<%= config.bin %> stop web db1 --wait']

  protected readonly kind = 'stop'
}
