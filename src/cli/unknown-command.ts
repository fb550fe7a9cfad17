import { Config } from '@oclif/core/config'
import { nearest } from '../core/base/near.ts'
import { visible } from './cell-text.ts'
import { misuse } from './command-error.ts'
import { foreign } from './foreign-words.ts'
import { didYouMean } from './usage.ts'

/**
 * The words name no command: suggests near ones, or lists the commands of the topic. `root` is the directory of
 * package.json.
 */
export async function unknownCommand(typed: readonly string[], root: string): Promise<never> {
  const config = await Config.load(root)
  if (typed.length === 0) misuse('No command was given.', 'All commands: nova --help')
  const visibleIds = config.commands
    .filter((command) => !command.hidden)
    .map((command) => command.id.replaceAll(':', ' '))
  const [topic = '', next] = typed.map(visible)
  const inTopic = visibleIds.filter((id) => id.startsWith(`${topic} `)).map((id) => id.slice(topic.length + 1))
  const known = foreign(typed, inTopic.length === 0 ? 1 : 2)
  if (known !== undefined) misuse(`There is no command "${typed.map(visible).join(' ')}".`, known)
  if (inTopic.length === 0) {
    const near = nearest(typed.slice(0, 2).join(' '), visibleIds, 2)
    const names = (
      near.length > 0 ? near : nearest(topic, [...visibleIds, ...visibleIds.map((id) => id.split(' ')[0]!)], 2)
    ).map((name) => `nova ${name}`)
    misuse(
      `There is no command "${topic}".`,
      [didYouMean(names), 'All commands: nova --help'].filter(Boolean).join(' '),
    )
  }
  if (next === undefined)
    misuse(`${topic} needs a command.`, `Commands: ${inTopic.join(', ')}; more: nova ${topic} --help`)
  const names = nearest(next, inTopic, 1).map((name) => `nova ${topic} ${name}`)
  misuse(
    `${topic} has no command "${next}".`,
    [didYouMean(names), `Commands: ${inTopic.join(', ')}`].filter(Boolean).join(' '),
  )
}
