import * as Args from '@oclif/core/args'
import * as Flags from '@oclif/core/flags'
import { redact } from '../core/base/redact.ts'
import { misuse } from './command-error.ts'
import { formats } from './view.ts'

const globally = { helpGroup: 'global' }

/** The flags that every command takes. */
export const globalFlags = {
  format: Flags.option({ options: formats, default: 'table' as const })({
    ...globally,
    char: 'f',
    env: 'NOVA_FORMAT',
    summary: 'Output format.',
  }),
  column: Flags.string({
    ...globally,
    char: 'c',
    multiple: true,
    multipleNonGreedy: true,
    helpValue: 'COLUMN',
    summary: 'Show only this column; repeatable.',
  }),
  timeout: Flags.custom<number>({ parse: async (text) => seconds(text) })({
    ...globally,
    env: 'NOVA_TIMEOUT',
    helpValue: 'SECONDS',
    summary: 'How long to wait for the cloud and, with --wait, for the operation.',
  }),
  project: Flags.string({
    ...globally,
    env: 'NOVA_PROJECT',
    helpValue: 'PROJECT',
    default: 'default',
    summary: 'The project to act in.',
  }),
  role: Flags.string({
    ...globally,
    env: 'NOVA_ROLE',
    options: ['admin', 'member', 'reader'],
    default: 'admin',
    hidden: true,
    summary: 'Act as a member or a reader, to see what that role may do.',
  }),
  config: Flags.string({
    ...globally,
    env: 'NOVA_CONFIG',
    helpValue: 'FILE',
    summary: 'Configuration file instead of /etc/nova/nova.toml.',
  }),
  debug: Flags.boolean({ ...globally, env: 'NOVA_DEBUG', summary: 'Show each request, and the stack of a bug.' }),
}

/** `--wait`, for commands that start an operation. */
export const wait = Flags.boolean({
  env: 'NOVA_WAIT',
  aliases: ['poll'],
  summary: 'Wait for the operation to end; fail if it fails.',
})

/** `--set`, for commands that run daemons: any option of the configuration. */
export const set = Flags.custom<string>({ parse: async (text) => withoutPassword(text) })({
  multiple: true,
  multipleNonGreedy: true,
  helpValue: 'KEY=VALUE',
  summary: 'Set an option, as in the file: --set operations.lease_seconds=20. List them: nova config docs.',
})

/** Whatever stands on a command line is shown to every user of the machine, and kept by the shell. */
function withoutPassword(pair: string): string {
  const [key = ''] = pair.split('=')
  const value = pair.slice(key.length + 1)
  if (redact(value) === value) return pair
  const variable = `NOVA_${key.replaceAll('.', '_').toUpperCase()}`
  return misuse(
    `${key} has a password, and a password on the command line can be read by others on this machine.`,
    `Put the value into the configuration file or the environment (${variable}).`,
  )
}

/** The name or id of one instance. */
export const instance = Args.string({ required: true, ignoreStdin: true, description: 'Name or id of the instance.' })

/** The id of one operation. */
export const operation = Args.custom<string>({
  parse: async (text) => {
    if (/^[0-9a-f]{8}[0-9a-f-]{0,28}$/i.test(text)) return text.toLowerCase()
    return misuse(
      `"${text}" is not an operation id.`,
      'Type at least the first eight characters of an id: nova operation list',
    )
  },
})({ required: true, ignoreStdin: true, description: 'Id of the operation, or its first characters (at least eight).' })

/** One name; `description` says of what. */
export const name = (description: string) => Args.string({ required: true, ignoreStdin: true, description })

/** A whole number in a range, both ends included. */
export const whole = (range: { min: number; max?: number }) =>
  Flags.custom<number>({
    parse: async (text) => {
      const { min, max = Number.MAX_SAFE_INTEGER } = range
      const number = /^-?\d+$/.test(text) ? Number(text) : Number.NaN
      if (number >= min && number <= max) return number
      const allowed = range.max === undefined ? `of at least ${min}` : `from ${min} to ${range.max}`
      return misuse(`"${text}" is not a whole number ${allowed}.`)
    },
  })

/** `--limit` and `--marker` of a list of `what`. */
export const page = (what: string) => ({
  limit: whole({ min: 1, max: 10_000 })({ env: 'NOVA_LIMIT', helpValue: 'N', summary: 'Maximum number of rows.' }),
  marker: Flags.string({
    helpValue: 'ID',
    summary: `Continue after this ${what}: the last one of the previous page.`,
  }),
})

/** Memory in MiB, as `512`, `512M` or `2G`. */
export const memoryMb = Flags.custom<number>({
  parse: async (text) => measured(text, { '': 1, m: 1, g: 1024 }, '512, 512M or 2G'),
})
/** Disk in GiB, as `10`, `10G` or `1T`. */
export const diskGb = Flags.custom<number>({
  parse: async (text) => measured(text, { '': 1, g: 1, t: 1024 }, '10, 10G or 1T'),
})

/** A limit in MiB, as `512`, `512M`, `2G` or `1T`; -1 for none. */
export const limitMib = Flags.custom<number>({
  parse: async (text) => (text === '-1' ? -1 : measured(text, { '': 1, m: 1, g: 1024, t: 1024 ** 2 }, '512, 2G or -1')),
})

function measured(text: string, units: Readonly<Record<string, number>>, allowed: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([a-z]?)(?:i?b)?$/i.exec(text) ?? []
  const factor = units[unit.toLowerCase()]
  if (digits === undefined || factor === undefined) return misuse(`"${text}" is not a size.`, `Write it as ${allowed}.`)
  return Number(digits) * factor
}

function seconds(text: string): number {
  const number = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0
  // Timers cannot count further.
  if (number > 0 && number <= 2_000_000) return number
  return misuse(`"${text}" is not a number of seconds above 0.`)
}

/** `key=value` pairs of a repeated flag as one record. Misuse if a key is given twice, or could not be kept. */
export function pairs(
  flag: string,
  pickDefined: readonly string[] | string | undefined,
): Record<string, string> | undefined {
  if (pickDefined === undefined) return undefined
  const given = new Map<string, string>()
  for (const pair of [pickDefined].flat()) {
    const at = pair.indexOf('=')
    if (at < 1) misuse(`--${flag} "${pair}" has no value.`, `Write it as --${flag} KEY=VALUE.`)
    const key = pair.slice(0, at)
    if (given.has(key)) misuse(`--${flag} "${key}" is given twice.`, 'Leave one out.')
    // An object has no such key of its own: it would be lost on the way.
    if (key === '__proto__') misuse(`--${flag}: "__proto__" cannot be a key.`)
    given.set(key, pair.slice(at + 1))
  }
  return Object.fromEntries(given)
}
