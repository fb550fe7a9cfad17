import { CLIError } from '@oclif/core/errors'
import { nearest } from '../core/base/near.ts'
import { CommandError } from './command-error.ts'

/** What usage errors need to know of a command; its class and its row in the manifest both have it. */
type Told = {
  id: string
  args?: Readonly<Record<string, { required?: boolean; multiple?: boolean; hidden?: boolean; description?: string }>>
  flags?: Readonly<
    Record<string, { char?: string; hidden?: boolean; required?: boolean; helpValue?: string | string[] }>
  >
}

type ParseError = CLIError & { flags?: string[]; args?: Array<string | { name: string; options?: readonly string[] }> }

/** How to type a command: `nova pause INSTANCE...`. */
export function usageLine({ id, args = {}, flags = {} }: Told): string {
  const words = Object.entries(args)
    .filter(([, arg]) => !arg.hidden)
    .map(([name, arg]) => {
      const word = `${name.toUpperCase().replaceAll('_', '-')}${arg.multiple ? '...' : ''}`
      return arg.required ? word : `[${word}]`
    })
  const needed = Object.entries(flags)
    .filter(([, flag]) => flag.required)
    .map(([name, flag]) => `--${name} ${flag.helpValue ?? 'VALUE'}`)
  return ['nova', id.replaceAll(':', ' '), ...words, ...needed].join(' ')
}

/** `Did you mean a or b?`, or undefined if no name is near. */
export const didYouMean = (names: readonly string[]): string | undefined =>
  names.length === 0 ? undefined : `Did you mean ${names.join(' or ')}?`

/** An error of oclif's parser as one line with what is allowed; other errors stay as they are. */
export function explainUsage(e: unknown, command: Told): unknown {
  const typed = command.id.replaceAll(':', ' ')
  if (e instanceof CommandError) return inFlag(e)
  if (!(e instanceof CLIError)) return e
  const error = e as ParseError
  const more = `Usage: ${usageLine(command)}; more: nova ${typed} --help`
  const complain = (text: string, hint = more) => new CommandError(text, hint, 2, e)
  const message = error.message.replace(/\nSee more help with --help$/, '')

  if (error.flags?.length) {
    const flag = error.flags[0]!.split('=')[0]!
    const known = Object.entries(command.flags ?? {}).filter(([, row]) => !row.hidden)
    const [near] = nearest(
      flag.replace(/^-+/, ''),
      known.map(([name]) => name),
      1,
    )
    return complain(
      `${typed} has no flag ${flag}.`,
      `${near ? `Did you mean --${near}? ` : ''}All flags: nova ${typed} --help`,
    )
  }
  if (/^Missing \d+ required arg/.test(message)) {
    const names = (error.args ?? []).map((arg) => (typeof arg === 'string' ? arg : arg.name))
    return complain(`${typed} needs ${names.map((name) => name.toUpperCase().replaceAll('_', '-')).join(' and ')}.`)
  }
  if (/^Unexpected argument/.test(message)) {
    const extra = (error.args ?? []).map((arg) => `"${arg}"`)
    const takes = Object.keys(command.args ?? {}).length
    return complain(
      `${typed} takes ${takes === 0 ? 'no arguments' : `${takes} argument${takes > 1 ? 's' : ''}`}; too many: ${extra.join(', ')}.`,
    )
  }
  const option = /^Expected (?:--(\S+?)=)?(.*) to be one of: (.*)$/s.exec(message)
  if (option) {
    const [, flag, value = '', allowed = ''] = option
    const hint = [didYouMean(nearest(value, allowed.split(', '), 1)), `Allowed: ${allowed}`].filter(Boolean).join(' ')
    return complain(flag ? `--${flag} cannot be "${value}".` : `"${value}" is not allowed here.`, hint)
  }
  const absent = new Set([...message.matchAll(/Missing required flag ([\w-]+)/g)].map((match) => match[1]))
  const missing = Object.keys(command.flags ?? {}).flatMap((name) => (absent.has(name) ? [`--${name}`] : []))
  if (missing.length > 0) return complain(`${typed} needs ${missing.join(' and ')}.`)
  const needed = /All of the following must be provided when using --(\S+): (--[\w-]+)/.exec(message)
  if (needed) return complain(`--${needed[1]} can only be used together with ${needed[2]}.`)
  const clash = /--(\S+?)=.* cannot also be provided when using --([\w-]+)/.exec(message)
  if (clash) return complain(`--${clash[2]} and --${clash[1]} cannot be combined: give one of them.`)
  const valued = /^Flag --(\S+) expects (?:a value|one of these values: (.*))$/s.exec(message)
  if (valued) return complain(`--${valued[1]} needs a value.`, valued[2] ? `Allowed: ${valued[2]}` : more)
  const twice = /^Flag --(\S+) can only be specified once$/.exec(message)
  if (twice) return complain(`--${twice[1]} was given twice.`, 'Give it once.')
  return complain(plainText(message))
}

/** A value that a flag's own check refused: only the message of the parser names the flag. */
function inFlag(e: CommandError): CommandError {
  const flag = /^Parsing --(\S+)/.exec(e.message)?.[1]
  return flag
    ? new CommandError(`--${flag}: ${e.text}`, e.hint ?? 'Correct the value and try again.', e.exitCode, e)
    : e
}

const plainText = (message: string): string =>
  message
    // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes begin with one.
    .replace(/\u001b\[[0-9;]*m/g, '')
    .replace(/^The following errors? occurred:\s*/, '')
    .replace(/\s*\n\s*/g, '; ')
