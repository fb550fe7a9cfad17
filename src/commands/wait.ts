import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../cli/command.ts'
import { instance } from '../cli/flags.ts'
import { instanceRows } from '../cli/views.ts'
import type { Instance } from '../core/contracts/shapes.ts'
import { instanceStates } from '../core/model/instance.ts'

export default class Wait extends NovaCommand {
  static override summary = 'Wait until an instance rests, or is in a state.'
  static override description =
    'Without --status it waits until nothing is being done to the instance any more, and fails if that left it in ERROR. With --status it waits for that state, however long it takes; bound it with --timeout.'
  static override examples = [
    '<%= config.bin %> wait web',
    '<%= config.bin %> wait web --status SHUTOFF --timeout 60',
    '<%= config.bin %> delete web; <%= config.bin %> wait web --status DELETED',
  ]
  static override args = { instance }
  static override flags = {
    status: Flags.option({ options: [...instanceStates, 'DELETED'] as const })({
      summary: 'Until it is in this state.',
    }),
  }
  static override readonly view = instanceRows

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Wait)
    const { awaitInstance } = await import('../cli/wait-instance.ts')
    const show = (instance: string) => this.ask('instanceShow', { instance })
    const seen = await this.waiting((bus, progress, options) => {
      const onProgress = (i: Instance) => progress.say(`${i.name} is ${i.status}${i.task ? `, ${i.task}` : ''}`)
      return awaitInstance({ bus, clock: this.clock, show, onProgress }, args.instance, flags.status, options)
    })
    if (!seen) this.write(this.forPeople ? `${args.instance}: deleted\n` : '')
    else if (this.forPeople) this.write(`${seen.name}: ${seen.status}\n`)
    else await this.showOne(instanceRows, seen)
  }
}
