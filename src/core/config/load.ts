import { homedir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import type { z } from 'zod'
import { fail, reason } from '../base/errors.ts'
import { readSmallFile } from '../base/read-small-file.ts'
import { camel, type Options, optionRows, schema, snake } from './schema.ts'

/** The effective options of this process, and its state directory. */
export type Config = Options & {
  readonly stateDir: string
  /** The file that was read, if any. */
  readonly file: string | undefined
  /** The source of each option that is not at its default: key → file, variable or flag. */
  readonly sources: Readonly<Record<string, string>>
}

/** Where options are read from; by default the environment of the process and the system's file. */
export type LoadOptions = {
  file?: string | undefined
  env?: Readonly<Record<string, string | undefined>>
  /** From flags: `{ 'compute.driver': 'fake' }`; text is read as in the environment. */
  overrides?: Readonly<Record<string, unknown>>
}

const systemFile = '/etc/nova/nova.toml'

/** The caller: the operating system's user name, or the number if it has no name (in a container). */
export function userName(): string {
  try {
    return userInfo().username
  } catch {
    return `uid-${process.getuid?.() ?? 'unknown'}`
  }
}

/** Whether systemd started this process and waits for its readiness (Type=notify). */
export const systemdWaits = (): boolean => Boolean(process.env.NOTIFY_SOCKET)

/** The directory of everything that belongs to this machine's cloud, unless NOVA_STATE_DIR names another. */
function stateDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  if (env.NOVA_STATE_DIR) return resolve(env.NOVA_STATE_DIR)
  if (process.getuid?.() === 0) return '/var/lib/nova'
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'nova')
}

/**
 * Reads the options: defaults, then the file, then the environment, then flags. `ConfigInvalid` names the key, the
 * value, its source and what is allowed.
 */
export async function loadConfig({ file, env = process.env, overrides = {} }: LoadOptions = {}): Promise<Config> {
  const sources: Record<string, string> = {}
  const values: Record<string, Record<string, unknown>> = {}
  const set = (key: string, value: unknown, source: string) => {
    const [section = '', ...rest] = key.split('.')
    sources[key] = source
    // Not a section at all: kept as it is, for the schema to refuse.
    if (rest.length === 0) values[section] = value as Record<string, unknown>
    else values[section] = { ...values[section], [camel(rest.join('.'))]: value }
  }

  const path = file ?? env.NOVA_CONFIG ?? systemFile
  const text = readIfThere(path, file !== undefined || env.NOVA_CONFIG !== undefined)
  if (text !== undefined) {
    const { parse } = await import('smol-toml')
    let document: Record<string, unknown>
    try {
      document = parse(text) as Record<string, unknown>
    } catch (e) {
      const { line, column } = e as { line?: number; column?: number }
      const why = reason(e)
        .split('\n')[0]!
        .replace(/^Invalid TOML document: /, '')
      const source = `line ${line}, column ${column}`
      fail('ConfigInvalid', { key: 'config', value: path, allowed: `not TOML: ${why}`, source })
    }
    for (const [section, part] of Object.entries(document)) {
      if (typeof part !== 'object' || part === null || Array.isArray(part)) set(section, part, path)
      else for (const [key, value] of Object.entries(part)) set(`${section}.${key}`, value, path)
    }
  }
  const rows = optionRows()
  for (const row of rows) {
    const value = env[row.env]
    if (value !== undefined && value !== '') set(row.key, fromText(value, row.default), row.env)
  }
  for (const [key, value] of Object.entries(overrides)) {
    const like = rows.find((row) => row.key === key)?.default
    if (value !== undefined) set(key, typeof value === 'string' ? fromText(value, like) : value, 'flag')
  }

  const options = check(values, sources)
  return { ...options, stateDir: stateDirectory(env), file: text === undefined ? undefined : path, sources }
}

function check(values: Record<string, Record<string, unknown>>, sources: Readonly<Record<string, string>>): Options {
  for (const section of Object.keys(schema.shape)) values[section] ??= {}
  const parsed = schema.safeParse(values)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]!
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined
  const path = [...issue.path.map(String), ...(unknown === undefined ? [] : [unknown])]
  const [section = '', ...rest] = path
  const key = rest.length > 0 ? `${section}.${snake(rest.join('.'))}` : section
  const value = path.reduce<unknown>((at, step) => (at as Record<string, unknown> | undefined)?.[step], values)
  const allowed = unknown === undefined ? explain(issue) : `unknown; known ${near(section, path.length > 1)}`
  return fail('ConfigInvalid', {
    key,
    value: JSON.stringify(value) ?? 'nothing',
    allowed,
    source: sources[key] ?? sources[section] ?? 'default',
  })
}

function near(section: string, inSection: boolean): string {
  const names = inSection
    ? optionRows()
        .map((row) => row.key)
        .filter((key) => key.startsWith(`${section}.`))
    : Object.keys(schema.shape)
  return `${inSection ? 'keys' : 'sections'} are ${names.join(', ')}`
}

function explain(issue: z.core.$ZodIssue): string {
  if (issue.code === 'invalid_value') return `allowed are ${issue.values.map(String).join(', ')}`
  return issue.message.replace(/^Invalid input: /, '')
}

/** The environment has only text: it is parsed according to the type of the default. */
function fromText(text: string, like: unknown): unknown {
  if (typeof like === 'number') return text.trim() === '' || Number.isNaN(Number(text)) ? text : Number(text)
  if (typeof like === 'boolean')
    return text === 'true' || text === '1' ? true : text === 'false' || text === '0' ? false : text
  if (Array.isArray(like)) return text.split(',').map((part) => part.trim())
  if (typeof like === 'object') return Object.fromEntries(text.split(',').map((part) => pair(part)))
  return text
}

function pair(text: string): [string, unknown] {
  const [key = '', value = ''] = text.split('=')
  return [key.trim(), fromText(value, 0)]
}

/** Far more than all options take, in bytes. */
const fileMax = 1 << 20

function readIfThere(path: string, mustBe: boolean): string | undefined {
  try {
    return readSmallFile(path, fileMax).toString()
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    if (code === 'ENOENT' && !mustBe) return undefined
    if (code === 'EACCES') {
      const without = mustBe ? '' : ' To do without it, for a cloud of your own: NOVA_CONFIG=/dev/null.'
      return fail('Forbidden', { what: `${path} cannot be read by ${userName()}.${without}` }, e)
    }
    return fail(
      'ConfigInvalid',
      { key: 'config', value: path, allowed: code === 'ENOENT' ? 'there is no such file' : reason(e), source: 'flag' },
      e,
    )
  }
}

/** The environment for a child process that must have the same configuration, flags included: `overrides` as above. */
export function environmentOf(config: Config, overrides: Readonly<Record<string, unknown>>): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...(config.file === undefined ? {} : { NOVA_CONFIG: config.file }) }
  for (const { key, env: name } of optionRows()) {
    const value = overrides[key]
    if (value !== undefined) env[name] = toText(value)
  }
  return env
}

/** The text that {@link fromText} parses back. */
function toText(value: unknown): string {
  if (Array.isArray(value)) return value.join(',')
  if (typeof value !== 'object' || value === null) return String(value)
  return Object.entries(value)
    .map((entry) => entry.join('='))
    .join(',')
}
