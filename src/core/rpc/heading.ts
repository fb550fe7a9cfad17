import { assert, fail } from '../base/errors.ts'
import type { Contract, Methods } from './contract.ts'
import { firstOf, isNewer } from './versions.ts'

/** A message's arguments as they may be sent, and its JSON up to them. */
type Fitted = { readonly head: string; readonly args: unknown }

/** How the messages of one method begin; made once a contract. */
export type Heading = {
  /** JSON of the message up to its arguments, where nothing of it is newer than the method. */
  readonly plain: string
  /**
   * Makes a message no newer than it has to be, and no newer than `cap`: fields that the other side does not know are left
   * out; `UnsupportedVersion` where it does not know the method. Undefined where every message is plain and for everybody.
   */
  readonly suit: ((args: unknown, cap: string | undefined) => Fitted) | undefined
}

/** Prepares what the messages of a method begin with, for every version that they may need. */
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
    assert(!isNewer(at, version), `${topic}.${method} is of version ${at}, and its contract only of ${version}`)
  const head = (at: string) =>
    `${JSON.stringify({ method, ...(namespace === undefined ? {} : { namespace }), version: at }).slice(0, -1)},"args":`
  const heads = new Map([since, ...later].map((at) => [at, head(at)]))
  const plain = head(since)
  if (later.length === 0 && since === first) return { plain, suit: undefined }

  const suit = (args: unknown, cap: string | undefined): Fitted => {
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
  return { plain, suit }
}

/** The fields of a message that say since which version they are there. */
function fieldsSince({ args }: Methods[string]): Array<{ name: string; since: string }> {
  const { shape } = args as { shape?: Readonly<Record<string, { meta(): { since?: unknown } | undefined }>> }
  return Object.entries(shape ?? {}).flatMap(([name, field]) => {
    const at = field.meta()?.since
    return typeof at === 'string' ? [{ name, since: at }] : []
  })
}

/** The kinds of a message that is one of several (a union over `kind`), and since which version each is there. */
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
