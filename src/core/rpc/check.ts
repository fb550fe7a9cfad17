import type { z } from 'zod'
import { fail } from '../base/errors.ts'

type Issue = z.core.$ZodIssue

/**
 * The value as the schema parses it; if it does not fit, `InvalidRequest` with one line, `<what>: <field>: <what is
 * allowed>`.
 */
export function check<T>(schema: z.ZodType<T>, value: unknown, what: string, hint?: string): T {
  const parsed = schema.safeParse(value, { error: allowed })
  if (parsed.success) return parsed.data
  return fail('InvalidRequest', {
    what: `${what}: ${describeIssues(parsed.error.issues)}`,
    ...(hint === undefined ? {} : { hint }),
  })
}

type Raw = z.core.$ZodRawIssue

/** What is counted of a value, by its kind. */
const counted: Readonly<Record<string, string>> = { string: ' characters', array: ' entries', record: ' entries' }

/** What is allowed, if a schema has no words of its own for it; undefined: as the library says it. */
function allowed(issue: Raw): string | undefined {
  if (issue.code === 'too_big') return `at most ${issue.maximum}${counted[issue.origin] ?? ''}`
  if (issue.code === 'too_small') return `at least ${issue.minimum}${counted[issue.origin] ?? ''}`
  if (issue.code === 'invalid_key') return `a key is wrong: ${issue.issues[0]?.message ?? 'another form is needed'}`
  return undefined
}

/** A key of somebody else's making may be long. */
const shownOf = (part: PropertyKey): string => {
  const text = String(part)
  return text.length > 40 ? `${text.slice(0, 40)}…` : text
}

/** The first issue in words, and how many more there are. */
function describeIssues(issues: readonly Issue[]): string {
  const first = issues[0]
  if (first === undefined) return 'does not fit the schema'
  const { path, message } = deepest(first, [])
  const more = issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''
  return `${path.length === 0 ? '' : `${path.map(shownOf).join('.')}: `}${message}${more}`
}

type Told = { path: readonly PropertyKey[]; message: string }

/** A union only reports that nothing fitted; the alternative that got furthest says what is wrong. */
function deepest(issue: Issue, above: readonly PropertyKey[]): Told {
  const path = [...above, ...issue.path]
  const own: Told = { path, message: issue.message }
  if (issue.code !== 'invalid_union') return own
  let best = own
  for (const alternative of issue.errors) {
    const inner = alternative[0]
    if (inner === undefined) continue
    const told = deepest(inner, path)
    if (told.path.length > best.path.length) best = told
  }
  return best
}
