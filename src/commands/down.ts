import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../cli/command.ts'
import { pageIn, readList } from '../core/contracts/pages.ts'
import { kindOf } from '../core/model/operation.ts'

export default class Down extends NovaCommand {
  static override summary = "Stop this machine's daemons; instances keep running."
  static override description = 'Open operations stop at their next step and continue after the next "nova up".'
  static override examples = [
    '<%= config.bin %> down',
    { description: 'Stop all instances first:', command: '<%= config.bin %> down --instances' },
  ]
  static override flags = {
    instances: Flags.boolean({ env: 'NOVA_INSTANCES', summary: 'Stop every instance first.' }),
  }

  async run(): Promise<void> {
    const { flags } = await this.parse(Down)
    const config = await this.settings()
    const { runningPid, stopBackground } = await import('../daemons/background.ts')
    if (runningPid(config) === undefined) return this.write(`No cloud is running in ${config.stateDir}.\n`)
    const stopped = flags.instances ? await this.stopInstances() : undefined
    await stopBackground(config)
    this.write(
      stopped === undefined
        ? 'The daemons have stopped; the instances keep running. Start again: nova up\n'
        : `The daemons and ${stopped} instance${stopped === 1 ? '' : 's'} have stopped. Start again: nova up\n`,
    )
  }

  /**
   * Stops all running instances concurrently. An instance that cannot be stopped is reported and does not hold up the
   * others.
   */
  private async stopInstances(): Promise<number> {
    const instances = await readList(
      async (asked) => pageIn(await this.ask('instanceList', { allProjects: true, ...asked }), 'instances'),
      ({ id }) => id,
    )
    const running = instances.filter(
      (row) => kindOf('stop').from.includes(row.status) && row.power !== 'SHUTDOWN' && row.power !== 'NOSTATE',
    )
    const begun = await Promise.allSettled(running.map((row) => this.ask('begin', { instance: row.id, kind: 'stop' })))
    const operations: string[] = []
    for (const [i, outcome] of begun.entries())
      if (outcome.status === 'fulfilled') operations.push(outcome.value.operation)
      else this.note(`${running[i]?.name}: ${(outcome.reason as Error).message}`)
    const ended = await this.follow(operations)
    for (const operation of ended)
      if (operation.fault) this.note(`${operation.subject.name}: ${operation.fault.message}`)
    return ended.filter((operation) => operation.state === 'succeeded').length
  }
}
