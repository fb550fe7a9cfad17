import * as Flags from '@oclif/core/flags'
import { InstanceVerb } from '../cli/verbs.ts'

export default class Reboot extends InstanceVerb {
  static override summary = 'Reboot an instance.'
  static override description =
    'The guest is asked to shut down and is started again. With --hard its power is cut at once, and QEMU starts afresh.\n\nThe instance must be ACTIVE (with --hard: in any state but BUILD); it becomes ACTIVE.'
  static override examples = [
    '<%= config.bin %> reboot web',
    '<%= config.bin %> reboot web db1 --wait',
    '<%= config.bin %> reboot web --hard',
  ]
  static override flags = {
    ...InstanceVerb.flags,
    hard: Flags.boolean({ env: 'NOVA_HARD', summary: 'Cut the power instead of asking the guest to shut down.' }),
  }

  protected readonly kind = 'reboot' as const

  override async run(): Promise<void> {
    const { args, flags } = await this.parse(Reboot)
    await this.beginAll(args.instance, { kind: flags.hard ? 'reboot-hard' : this.kind }, flags.wait)
  }
}
