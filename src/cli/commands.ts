import type { Config } from '@oclif/core/config'

/** A command before it is loaded: its name and its aliases, with colons between words. */
export type KnownCommand = {
  readonly names: readonly [string, ...string[]]
  load(): Promise<CommandClass>
}
type CommandClass = { start(argv: readonly string[], config: Config, id: string): Promise<void> }

/** The command that the words before the first flag name: the longest match wins. */
export function findCommand(
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
