import type { Command } from '@oclif/core/command'
import { Config } from '@oclif/core/config'
import { Help } from '@oclif/core/help'
import { writeOut } from './terminal.ts'
import { usageLine } from './usage.ts'

/** What each topic (the words before the last word of a command) is about. */
const topics: Readonly<Record<string, string>> = {
  bus: 'The broker and its queues.',
  config: 'The configuration of this installation, and every option.',
  daemon: 'Run one service of the cloud alone, for example under systemd.',
  db: 'The database: migrate it, show its version.',
  event: 'What has happened.',
  flavor: 'Sizes for instances.',
  host: 'Machines that run instances.',
  image: 'What instances boot from.',
  operation: 'Every change, past and present.',
  service: 'Daemons, and whether they accept work.',
}

/** The commands in the order in which a person needs them; commands that are not named here come last. */
const groups: ReadonlyArray<readonly [string, readonly string[]]> = [
  ['A CLOUD ON THIS MACHINE', ['up', 'down', 'status', 'dashboard', 'doctor']],
  [
    'INSTANCES',
    [
      ...['boot', 'list', 'show', 'delete', 'rename', 'console-log', 'wait', 'explain'],
      ...['start', 'stop', 'reboot', 'pause', 'unpause', 'suspend', 'resume', 'migrate'],
    ],
  ],
  ['IMAGES AND FLAVORS', ['image', 'flavor']],
  ['OPERATIONS AND EVENTS', ['operation', 'event']],
  ['HOSTS AND DAEMONS', ['host', 'service', 'bus', 'daemon', 'db', 'config']],
]

/** Already shown at the top. */
const withoutSummary = { summary: '' }

class NovaHelp extends Help {
  /** Everything on one screen: topics with their commands, commands with their summaries. */
  rootText(): string {
    const commands = this.sortedCommands.filter((command) => !command.hidden && !command.aliases.includes(command.id))
    const named = new Set(groups.flatMap(([, names]) => names))
    const rows = new Map<string, string>()
    for (const command of commands) {
      const [first = '', ...more] = command.id.split(':')
      if (more.length === 0) rows.set(first, command.summary ?? '')
      else if (!rows.has(first)) {
        const words = commands.filter((c) => c.id.startsWith(`${first}:`)).map((c) => c.id.split(':')[1])
        rows.set(first, `${topics[first] ?? ''} (${words.join(' ')})`.trim())
      }
    }
    const others = [...rows.keys()].filter((name) => !named.has(name))
    const sections = [...groups, ['OTHER', others] as const].map(([title, names]) => {
      const list = names.filter((name) => rows.has(name)).map((name) => [name, rows.get(name)] as [string, string])
      return list.length === 0 ? '' : this.section(title, this.renderList(list, { indentation: 2, spacer: '\n' }))
    })
    return [
      'nova: a compute cloud in one package.',
      this.section('USAGE', 'nova COMMAND [ARGUMENTS] [FLAGS]\nnova COMMAND --help'),
      ...sections.filter(Boolean),
      this.section('FIRST STEPS', '$ nova up\n$ nova boot web --wait\n$ nova console-log web'),
    ].join('\n\n')
  }

  commandText(command: Command.Loadable): string {
    return `${command.summary ?? ''}\n\n${this.formatCommand({ ...command, usage: `${usageLine(command).slice('nova '.length)} [FLAGS]`, ...withoutSummary })}`
  }

  topicText(name: string): string {
    const commands = this.sortedCommands.filter((command) => !command.hidden && command.id.startsWith(`${name}:`))
    const list = commands.map((c) => [c.id.replaceAll(':', ' '), c.summary ?? ''] as [string, string])
    return [
      topics[name] ?? '',
      this.section('USAGE', `nova ${name} COMMAND [ARGUMENTS] [FLAGS]`),
      this.section('COMMANDS', this.renderList(list, { indentation: 2, spacer: '\n' })),
    ].join('\n\n')
  }
}

/**
 * Shows the help of a command, of a topic or, without words, of everything. False if there is no such command or topic.
 * `root` is the directory of package.json.
 */
export async function showHelp(root: string, words: readonly string[]): Promise<boolean> {
  const config = await Config.load(root)
  const help = new NovaHelp(config, { flagSortOrder: 'none', stripAnsi: !process.stdout.isTTY })
  const id = words.join(':')
  const command = config.findCommand(id)
  if (words.length === 0) writeOut(`${help.rootText()}\n`)
  else if (command) writeOut(`${help.commandText(command)}\n`)
  else if (config.commands.some((c) => c.id.startsWith(`${id}:`))) writeOut(`${help.topicText(id)}\n`)
  else return false
  return true
}
