import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../cli/command.ts'
import { instance } from '../cli/flags.ts'
import { instanceRows } from '../cli/views.ts'
import type { Instance } from '../core/contracts/shapes.ts'
import { instanceStates } from '../core/model/instance.ts'

export default class Wait extends NovaCommand {
  static override summary = 'Wait until an instance is idle or reaches a given status.'
  static override description =
    'Without --status the command waits until no operation is open on the instance, and fails if the instance is then in ERROR. With --status it waits for that status, without a limit unless you give --timeout.'
  static override examples = [
    '<%= config.bin %> wait web',
    '<%= config.bin %> wait web --status SHUTOFF --timeout 60',
    '<%= config.bin %> delete web; <%= config.bin %> wait web --status DELETED',
  ]
  static override args = { instance }
  static override flags = {
    status: Flags.option({ options: [...instanceStates, 'DELETED'] as const })({
      summary: 'Wait for this status.',
    }),
  }
  static override readonly view = instanceRows

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Wait)
    const { awaitInstance } = await import('../cli/wait-instance.ts')
    const show = (instance: string) => this.ask('instanceShow', { instance })
    const seen = await this.waiting((bus, progress, options) => {
      const onProgress = (i: Instance) => progress.show(`${i.name} is ${i.status}${i.task ? `, ${i.task}` : ''}`)
      return awaitInstance({ bus, clock: this.clock, show, onProgress }, args.instance, flags.status, options)
    })
    if (!seen) this.write(this.forPeople ? `${args.instance}: deleted\n` : '')
    else if (this.forPeople) this.write(`${seen.name}: ${seen.status}\n`)
    else await this.showOne(instanceRows, seen)
  }
}
