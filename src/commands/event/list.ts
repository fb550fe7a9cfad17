import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { whole } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { eventView } from '../../cli/views.ts'
import type { Event } from '../../core/contracts/shapes.ts'
import { eventsDefault } from '../../core/model/page.ts'

export default class EventList extends NovaCommand {
  static override summary = 'List events, oldest first.'
  static override description =
    'With --follow the command continues until Ctrl-C and misses no event, even if the bus is unreachable for a while. With -f json each event is then one line.'
  static override examples = [
    '<%= config.bin %> event list',
    '<%= config.bin %> event list --instance web --limit 10',
    '<%= config.bin %> event list --follow',
  ]
  static override flags = {
    follow: Flags.boolean({ env: 'NOVA_FOLLOW', summary: 'Continue with new events as they happen.' }),
    instance: Flags.string({ helpValue: 'INSTANCE', summary: 'Only events of this instance.' }),
    after: whole({ min: 0 })({ helpValue: 'ID', summary: 'Only events after this id.' }),
    limit: whole({ min: 1, max: 10_000 })({
      env: 'NOVA_LIMIT',
      helpValue: 'N',
      summary: 'Maximum number of past events; 100 if you omit it.',
    }),
  }
  static override readonly view = eventView

  async run(): Promise<void> {
    const { flags } = await this.parse(EventList)
    const request = pickDefined(flags, ['instance', 'after', 'limit'])
    if (flags.follow) return this.followAll(request)
    const { events, more } = await this.ask('eventList', request)
    if (more || (flags.limit === undefined && events.length === eventsDefault))
      this.note(
        flags.after === undefined
          ? more
            ? 'There are older ones, more than one answer carries.'
            : 'There may be older ones: --limit N'
          : `There may be more. Continue with: --after ${events.at(-1)?.id}`,
      )
    await this.showRows(eventView, events)
  }

  private async followAll(request: { instance?: string; after?: number; limit?: number }): Promise<void> {
    const [{ followEvents }, { eventWriter }] = await Promise.all([
      import('../../cli/follow-events.ts'),
      import('../../cli/event-lines.ts'),
    ])
    const bus = await this.bus()
    const writer = eventWriter(this.look)
    const stop = new AbortController()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
    const list = async (from: typeof request): Promise<Event[]> => {
      const { events, more } = await this.ask('eventList', from)
      const last = events.at(-1)
      // Without a number to begin after, the newest were asked for: older ones that do not fit are not to be shown.
      return more && last && from.after !== undefined
        ? [...events, ...(await list({ ...from, after: last.id }))]
        : events
    }
    await followEvents({ bus, list, show: (event) => this.write(writer(event)) }, request, stop.signal)
  }
}
