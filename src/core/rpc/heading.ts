import { assert, fail } from '../base/errors.ts'
import type { Contract, Methods } from './contract.ts'
import { firstOf, isNewer } from './versions.ts'

/** A message for one receiver: its JSON up to the arguments, and the arguments without what the receiver does not know. */
type Fitted = { readonly head: string; readonly args: unknown }

/** How the messages of one method begin; computed once per contract. */
export type Heading = {
  /** The JSON up to the arguments of a message in which nothing is newer than its method. */
  readonly plain: string
  /**
   * Makes a message for a receiver that speaks version `cap`. Fields that are newer are left out; a newer method fails
   * with `UnsupportedVersion`. The message has the lowest version that knows all of its fields. Undefined if the method and
   * its fields are in the first version: then `plain` suits every receiver.
   */
  readonly adapt: ((args: unknown, cap: string | undefined) => Fitted) | undefined
}

/** Prepares how the messages of a method begin, for every version that they may need. */
export function headingOf(
  { topic, namespace, version }: Contract,
  method: string,
  definition: Methods[string],
): Heading {
  const first = firstOf(version)
  const { since = first } = definition
  const newer = fieldsSince(definition).filter((field) => isNewer(field.since, since))
  const kinds = kindsSince(definition)
  const later = [...newer.map((field) => field.since), ...kinds.values()].filter((at) => isNewer(at, since))
  for (const at of [since, ...later])
    assert(!isNewer(at, version), `${topic}.${method} has version ${at}, but its contract only ${version}`)
  const head = (at: string) =>
    `${JSON.stringify({ method, ...(namespace === undefined ? {} : { namespace }), version: at }).slice(0, -1)},"args":`
  const heads = new Map([since, ...later].map((at) => [at, head(at)]))
  const plain = head(since)
  if (later.length === 0 && since === first) return { plain, adapt: undefined }

  const adapt = (args: unknown, cap: string | undefined): Fitted => {
    const unknown = (at: string) => cap !== undefined && isNewer(at, cap)
    if (unknown(since)) fail('UnsupportedVersion', { topic, version: since, supported: cap ?? '' })
    let sent = args as Readonly<Record<string, unknown>>
    const kind = kinds.get(String(sent.kind)) ?? since
    let needed = isNewer(kind, since) ? kind : since
    if (unknown(needed)) fail('UnsupportedVersion', { topic, version: needed, supported: cap ?? '' })
    for (const { name, since: at } of newer) {
      if (sent[name] === undefined) continue
      if (unknown(at)) sent = { ...sent, [name]: undefined }
      else if (isNewer(at, needed)) needed = at
    }
    return { head: heads.get(needed) ?? plain, args: sent }
  }
  return { plain, adapt }
}

/** The fields of a message that are newer than the method, with the version that added them. */
function fieldsSince({ args }: Methods[string]): Array<{ name: string; since: string }> {
  const { shape } = args as { shape?: Readonly<Record<string, { meta(): { since?: unknown } | undefined }>> }
  return Object.entries(shape ?? {}).flatMap(([name, field]) => {
    const at = field.meta()?.since
    return typeof at === 'string' ? [{ name, since: at }] : []
  })
}

/** The kinds of a message that is a union over `kind`, with the version that added each. */
function kindsSince({ args }: Methods[string]): Map<string, string> {
  type Kind = { meta(): { since?: unknown } | undefined; shape?: { kind?: { value?: unknown } } }
  const { options = [] } = args as { options?: readonly Kind[] }
  return new Map(
    options.flatMap((option) => {
      const at = option.meta()?.since
      const kind = option.shape?.kind?.value
      return typeof at === 'string' && typeof kind === 'string' ? [[kind, at] as const] : []
    }),
  )
}
