import * as Flags from '@oclif/core/flags'
import { InstanceVerb } from '../cli/verbs.ts'

export default class Migrate extends InstanceVerb {
  static override summary = 'Move an instance to another host (cold migration).'
  static override description =
    'The guest is shut down, its disk is copied to the other host, and the guest is started there if it was running. If you omit --host, the scheduler chooses the host. If a step fails, the instance stays on its host, as it was.\n\nThe instance must be ACTIVE or SHUTOFF; its status is the same afterwards.'
  static override examples = [
    '<%= config.bin %> migrate web --wait',
    '<%= config.bin %> migrate web --host host2 --wait',
    { description: 'Watch the progress:', command: '<%= config.bin %> operation list --open' },
  ]
  static override flags = {
    ...InstanceVerb.flags,
    host: Flags.string({
      env: 'NOVA_MIGRATE_HOST',
      helpValue: 'HOST',
      summary: 'The host to move to (administrators). If you omit it, the scheduler chooses one.',
    }),
  }

  protected readonly kind = 'migrate'

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Migrate)
    const host = flags.host === undefined ? {} : { args: { host: flags.host } }
    await this.beginAll(args.instance, { kind: this.kind, ...host }, flags.wait)
  }
}
