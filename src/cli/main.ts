import { Config } from '@oclif/core/config'
import { version } from '../core/base/version.ts'
import { misuse } from './command-error.ts'
import { globalFlags } from './flags.ts'
import { showError } from './show-error.ts'
import { flush, leaveWithReader, writeOut } from './terminal.ts'

/** A command before it is loaded: its name and its aliases, with colons between words. */
export type KnownCommand = {
  readonly names: readonly [string, ...string[]]
  load(): Promise<CommandClass>
}
type CommandClass = { start(argv: readonly string[], config: Config, id: string): Promise<void> }

/** Runs one command line and returns the exit code; shows every error. `root` is the directory of package.json. */
export async function main(argv: readonly string[], root: string, commands: readonly KnownCommand[]): Promise<number> {
  leaveWithReader()
  const config = bareConfig(root)
  const debug = argv.includes('--debug') || config.scopedEnvVarTrue('DEBUG')
  let exitCode: number
  try {
    await run(argv, config, commands)
    exitCode = Number(process.exitCode ?? 0)
  } catch (e) {
    exitCode = showError(e, debug)
  }
  await flush()
  return exitCode
}

/** What commands read of oclif's configuration, without oclif's search for plugins and manifests, which costs 15 ms. */
function bareConfig(root: string): Config {
  const config = new Config({ root })
  return Object.assign(config, { root, name: 'nova', bin: 'nova', version, topicSeparator: ' ' })
}

async function run(argv: readonly string[], config: Config, commands: readonly KnownCommand[]): Promise<void> {
  // What Node makes of bytes that are no UTF-8: the word is not what was typed.
  const lost = argv.find((word) => word.includes('\ufffd'))
  if (lost !== undefined) misuse(`"${lost}" is not UTF-8.`)
  const { global, rest } = leadingFlags(argv)
  const isHelp = (word: string) => word === '--help' || word === '-h'
  const end = rest.indexOf('--')
  const asked = (end < 0 ? rest : rest.slice(0, end)).some(isHelp) || rest[0] === 'help'
  if (global.length === 0 && rest.length === 1 && (rest[0] === '--version' || rest[0] === '-v'))
    return writeOut(`nova ${version} (node ${process.version}, ${process.platform}-${process.arch})\n`)
  if (rest.length === 0 && global.length > 0) misuse('No command was given.', 'All commands: nova --help')

  const typed = words(rest.filter((word) => !isHelp(word))).slice(rest[0] === 'help' ? 1 : 0)
  const found = findCommand(typed, commands)
  if (asked || rest.length === 0) {
    const { showHelp } = await import('./help.ts')
    if (await showHelp(config.root, found ? found.command.names[0].split(':') : typed)) return
  } else if (found) {
    const Class = await found.command.load()
    return Class.start([...global, ...rest.slice(found.length)], config, found.command.names[0])
  }
  const { unknownCommand } = await import('./unknown-command.ts')
  await unknownCommand(typed, config.root)
}

/** Flags may stand before the command, as in `nova --debug list`, if all commands have them. */
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
        `"${word}" stands before the command, but not every command has that flag.`,
        'Put the command first, then its flags: nova COMMAND --help',
      )
    global.push(word)
    const attached = word.includes('=') || (!word.startsWith('--') && word.length > 2)
    if (known[1].type === 'option' && !attached && argv[i + 1] !== undefined) global.push(argv[++i]!)
  }
  return { global, rest: argv.slice(i) }
}

/** The words before the first flag: the command and perhaps arguments. */
function words(argv: readonly string[]): string[] {
  const flag = argv.findIndex((word) => word.startsWith('-'))
  return (flag < 0 ? argv : argv.slice(0, flag)).slice()
}

/** The command that the words before the first flag name: the longest match wins. */
function findCommand(
  words: readonly string[],
  commands: readonly KnownCommand[],
): { command: KnownCommand; length: number } | undefined {
  for (let length = Math.min(words.length, 3); length > 0; length--) {
    const name = words.slice(0, length).join(':')
    const command = commands.find(({ names }) => names.includes(name))
    if (command) return { command, length }
  }
  return undefined
}
