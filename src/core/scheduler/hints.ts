import type { RequestSpec } from '../contracts/scheduler.ts'

/** The hints that name instances: ids, separated by commas. */
const instanceHints = ['same_host', 'different_host'] as const

/** The instance ids that a hint names; none where the hint is absent. */
export const hinted = ({ hints }: Pick<RequestSpec, 'hints'>, name: (typeof instanceHints)[number]): string[] =>
  (hints[name] ?? '')
    .split(',')
    .map((id) => id.trim())
    .filter((id) => id !== '')

/** All instance ids whose hosts the filters will want to know. */
export const hintedInstances = (spec: Pick<RequestSpec, 'hints'>): string[] => [
  ...new Set(instanceHints.flatMap((name) => hinted(spec, name))),
]
