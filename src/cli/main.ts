import { Config } from '@oclif/core/config'
import { misuse } from './command-error.ts'
import { globalFlags } from './flags.ts'
import { didYouMean, nearest } from './near.ts'
import { visible } from './plain.ts'
import { showError } from './show-error.ts'
import { flush, leaveWithReader, writeOut } from './terminal.ts'

/** Runs one command line; `root` is the directory of package.json. Shows every error and answers with the exit code. */
export async function main(argv: readonly string[], root: string): Promise<number> {
  leaveWithReader()
  let debug = argv.includes('--debug')
  let exitCode: number
  try {
    const config = await Config.load(root)
    debug ||= config.scopedEnvVarTrue('DEBUG')
    await run(argv, config)
    exitCode = Number(process.exitCode ?? 0)
  } catch (e) {
    exitCode = showError(e, debug)
  }
  await flush()
  return exitCode
}

async function run(argv: readonly string[], config: Config): Promise<void> {
  const { global, rest } = leadingFlags(argv)
  const isHelp = (word: string) => word === '--help' || word === '-h'
  const end = rest.indexOf('--')
  const asked = (end < 0 ? rest : rest.slice(0, end)).some(isHelp) || rest[0] === 'help'
  if (global.length === 0 && rest.length === 1 && (rest[0] === '--version' || rest[0] === '-v'))
    return writeOut(`nova ${config.version} (node ${process.version}, ${config.platform}-${config.arch})\n`)
  if (rest.length === 0 && global.length > 0) misuse('A command is missing.', 'All commands: nova --help')

  const typed = words(rest.filter((word) => word !== 'help' && !isHelp(word)))
  if (asked || rest.length === 0) {
    const { showHelp } = await import('./help.ts')
    if (showHelp(config, typed.slice(0, commandLength(typed, config) || typed.length))) return
    return unknownCommand(typed, config)
  }
  const length = commandLength(typed, config)
  if (length === 0) return unknownCommand(typed, config)
  await config.runCommand(typed.slice(0, length).join(':'), [...global, ...rest.slice(length)])
}

/** Flags may stand before the command too, as in `nova --debug list`; only those that all commands have. */
function leadingFlags(argv: readonly string[]): { global: string[]; rest: readonly string[] } {
  const global: string[] = []
  let i = 0
  for (; argv[i]?.startsWith('-'); i++) {
    const word = argv[i]!
    if (['--help', '-h', '--version', '-v', '--'].includes(word)) break
    const [name = ''] = word.split('=')
    const known = Object.entries(globalFlags).find(
      ([key, flag]) => name === `--${key}` || (flag.char && name.startsWith(`-${flag.char}`) && !name.startsWith('--')),
    )
    if (!known)
      misuse(
        `"${word}" stands before the command, and is no flag of all commands.`,
        'First the command, then its flags: nova COMMAND --help',
      )
    global.push(word)
    const attached = word.includes('=') || (!word.startsWith('--') && word.length > 2)
    if (known[1].type === 'option' && !attached && argv[i + 1] !== undefined) global.push(argv[++i]!)
  }
  return { global, rest: argv.slice(i) }
}

/** The words before the first flag: the command and, perhaps, arguments. */
function words(argv: readonly string[]): string[] {
  const flag = argv.findIndex((word) => word.startsWith('-'))
  return (flag < 0 ? argv : argv.slice(0, flag)).slice()
}

/** How many of the words name a command: the longest that does wins. */
function commandLength(typed: readonly string[], config: Config): number {
  for (let n = Math.min(typed.length, 3); n > 0; n--) if (config.findCommand(typed.slice(0, n).join(':'))) return n
  return 0
}

function unknownCommand(typed: readonly string[], config: Config): never {
  if (typed.length === 0) misuse('A command is missing.', 'All commands: nova --help')
  const visibleIds = config.commands
    .filter((command) => !command.hidden)
    .map((command) => command.id.replaceAll(':', ' '))
  const [topic = '', next] = typed
  const inTopic = visibleIds.filter((id) => id.startsWith(`${topic} `)).map((id) => id.slice(topic.length + 1))
  if (inTopic.length === 0) {
    const all = [...visibleIds, ...config.commands.map((command) => command.id).filter((id) => !id.includes(':'))]
    const near = nearest(typed.slice(0, 2).join(' '), all, 2)
    const names = (near.length > 0 ? near : nearest(topic, [...all, ...config.topics.map((t) => t.name)], 2)).map(
      (name) => `nova ${name}`,
    )
    misuse(
      `There is no command "${visible(topic)}".`,
      [didYouMean(names), 'All commands: nova --help'].filter(Boolean).join(' '),
    )
  }
  if (next === undefined)
    misuse(`nova ${topic} needs one more word.`, `One of: ${inTopic.join(', ')}; more: nova ${topic} --help`)
  const names = nearest(next, inTopic, 1).map((name) => `nova ${topic} ${name}`)
  misuse(
    `nova ${topic} has no command "${visible(next)}".`,
    [didYouMean(names), `Commands: ${inTopic.join(', ')}`].filter(Boolean).join(' '),
  )
}
