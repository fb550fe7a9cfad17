import type { Config } from '@oclif/core/config'

/** What can be completed at a place: fixed words, names of things in the cloud, or files. */
export type Takes = { words: readonly string[] } | { names: Named } | { files: true }
/** The commands that print the names to complete. */
export const nameLists = {
  instance: 'list -f value -c name',
  flavor: 'flavor list -f value -c name',
  image: 'image list -f value -c name',
  host: 'host list -f value -c name',
  operation: 'operation list --limit 20 -f value -c id',
} as const
type Named = keyof typeof nameLists

export type CompletedFlag = {
  long: string
  short?: string
  summary: string
  value: Takes | undefined
  takesValue: boolean
}
export type CompletedCommand = { words: string; summary: string; flags: CompletedFlag[]; argument: Takes | undefined }

const named = (key: string): Named | undefined => (key in nameLists ? (key as Named) : undefined)
const files = new Set(['config', 'disk', 'kernel', 'ramdisk', 'key', 'user-data'])

/** Everything that can be completed, from what oclif knows of the commands. */
export function completionModel(config: Config): CompletedCommand[] {
  return config.commands
    .filter((command) => !command.hidden)
    .sort((a, b) => a.id.localeCompare(b.id))
    .map((command) => {
      const columns = (command as { view?: { columns?: string[] } }).view?.columns
      const [first] = Object.entries(command.args ?? {})
      const isNew = command.id === 'boot' || command.id.endsWith(':create')
      return {
        words: command.id.replaceAll(':', ' '),
        summary: command.summary ?? '',
        flags: Object.entries(command.flags ?? {})
          .filter(([, flag]) => !flag.hidden)
          .map(([long, flag]) => ({
            long,
            ...(flag.char ? { short: flag.char } : {}),
            summary: flag.summary ?? '',
            takesValue: flag.type === 'option',
            value: flag.type === 'option' ? takesOf(long, flag.options, columns) : undefined,
          })),
        argument: first && !isNew ? takesOf(first[0], first[1].options, undefined) : undefined,
      }
    })
}

function takesOf(
  key: string,
  options: readonly string[] | undefined,
  columns: readonly string[] | undefined,
): Takes | undefined {
  if (options) return { words: options }
  if (key === 'column') return columns && { words: columns }
  const list = named(key)
  if (list) return { names: list }
  return files.has(key) ? { files: true } : undefined
}

/** The words that can follow `words` on the way to a command: `flavor` → `create delete list show`. */
export function nextWords(commands: readonly CompletedCommand[]): Map<string, string[]> {
  const next = new Map<string, Set<string>>()
  for (const { words } of commands) {
    const parts = words.split(' ')
    parts.forEach((word, i) => {
      const before = parts.slice(0, i).join(' ')
      next.set(before, (next.get(before) ?? new Set()).add(word))
    })
  }
  return new Map([...next].map(([before, words]) => [before, [...words]]))
}
