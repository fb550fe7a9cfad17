import type { Wish } from '../contracts/scheduler.ts'

/** The hints that name instances: ids, separated by commas. */
const instanceHints = ['same_host', 'different_host'] as const

/** The instance ids that a hint names; none where the hint is absent. */
export const hinted = ({ hints }: Pick<Wish, 'hints'>, name: (typeof instanceHints)[number]): string[] =>
  (hints[name] ?? '')
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')

/** All instance ids whose hosts the filters will want to know. */
export const hintedInstances = (wish: Pick<Wish, 'hints'>): string[] => [
  ...new Set(instanceHints.flatMap((name) => hinted(wish, name))),
]
