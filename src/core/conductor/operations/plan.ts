import { allow } from '../../auth/policy.ts'
import { fail } from '../../base/errors.ts'
import { isPublicKey } from '../../base/ssh-key.ts'
import type { BootRequest } from '../../contracts/conductor.ts'
import type { Flavor } from '../../contracts/shapes.ts'
import type { Db } from '../../db/open.ts'
import type { Context } from '../../model/context.ts'
import type { Size } from '../../model/instance.ts'
import { resolveFlavor } from '../../store/flavors.ts'
import { checkHost } from '../../store/hosts.ts'
import { type BootImage, resolveImage } from '../../store/images.ts'
import { resolveInstance } from '../../store/instances.ts'
import { scopeOf } from '../actions/access.ts'
import { defaultFlavor, defaultImage } from '../defaults.ts'
import type { ConductorDeps } from '../deps.ts'
import { checkFit } from '../fit.ts'
import { virtualBytesOf } from '../image-content.ts'

/** A request with its names resolved and its defaults taken; everything that can be refused without writing was checked. */
export type Plan = {
  names: string[]
  image: BootImage
  flavor: Flavor
  /** What each instance takes: the flavor's, with the size of the image for a disk of 0. */
  size: Size
  availabilityZone: string | undefined
  forcedHost: string | undefined
  /** As requested; those that name instances have ids in the names' places, as the filters want them. */
  hints: Record<string, string>
}

const gib = 2 ** 30
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/**
 * Makes a plan of a request: `ImageNotFound`, `FlavorNotFound`, `FlavorTooSmall`, `Forbidden`, `HostNotFound`,
 * `InstanceNotFound` (of a hint) and so on.
 */
export async function planOf(
  { db, imageDir }: Pick<ConductorDeps, 'db' | 'imageDir'>,
  ctx: Context,
  request: BootRequest,
): Promise<Plan> {
  check(request)
  const { availabilityZone, forcedHost } = where(ctx, request.availabilityZone)
  if (forcedHost !== undefined) await checkHost(db, forcedHost)
  const named: BootImage =
    request.image === undefined
      ? await defaultImage(db, ctx.projectId)
      : await resolveImage(db, request.image, scopeOf(ctx))
  if (named.status !== 'active') fail('ImageNotActive', { name: named.name, status: named.status })
  const virtualGb = Math.ceil(((await virtualBytesOf({ db, imageDir }, named)) ?? 0) / gib)
  const image = { ...named, minDiskGb: Math.max(named.minDiskGb, virtualGb) }
  const flavor = request.flavor === undefined ? await defaultFlavor(db, image) : await resolveFlavor(db, request.flavor)
  checkFit(flavor, image)
  const hints = await hintsOf(db, ctx, request.hints ?? {})
  const size = { vcpus: flavor.vcpus, memoryMb: flavor.memoryMb, diskGb: flavor.diskGb || virtualGb }
  return { names: namesOf(request), image, flavor, size, availabilityZone, forcedHost, hints }
}

/** The most bytes of user data, keys, metadata and hints that one request may have written: they take the database a second. */
const writtenMax = 64 << 20

function check({ count = 1, userData = '', key, metadata = {}, hints = {} }: BootRequest): void {
  const each = userData.length + Buffer.byteLength(key ?? '') + Buffer.byteLength(JSON.stringify([metadata, hints]))
  if (count * each > writtenMax)
    fail('InvalidRequest', {
      what: `${count} instances with ${each} bytes of user data, key, metadata and hints each are too much for one request.`,
      hint: `Boot at most ${Math.floor(writtenMax / each)} of them at a time.`,
    })
  if (!base64.test(userData))
    fail('InvalidRequest', { what: 'The user data must be base64.', hint: 'nova boot --user-data FILE encodes it.' })
  if (key !== undefined && !isPublicKey(key.trim()))
    fail('InvalidRequest', {
      what: 'The key is not an OpenSSH public key line, or is not whole.',
      hint: 'It looks like: ssh-ed25519 AAAA… you@host',
    })
}

/** `web`, or `web-1` to `web-3`. */
function namesOf({ name, count = 1 }: BootRequest): string[] {
  if (count === 1) return [name]
  const names = Array.from({ length: count }, (_, i) => `${name}-${i + 1}`)
  if ((names.at(-1) as string).length > 255)
    fail('InvalidRequest', { what: `"${name}" is too long a name for ${count} instances.` })
  return names
}

/** `zone`, `zone:host` or `:host`, as Nova has it; to name the host is for administrators. */
function where(ctx: Context, text: string | undefined): Pick<Plan, 'availabilityZone' | 'forcedHost'> {
  const [zone = '', host] = text === undefined ? [] : split(text)
  if (host !== undefined) allow(ctx, 'os_compute_api:servers:create:forced_host')
  return { availabilityZone: zone === '' ? undefined : zone, forcedHost: host }
}

function split(text: string): [string, string | undefined] {
  const colon = text.indexOf(':')
  if (colon < 0) return [text, undefined]
  const host = text.slice(colon + 1)
  if (host === '') fail('InvalidRequest', { what: `"${text}" names no host.`, hint: 'It is ZONE, ZONE:HOST or :HOST.' })
  return [text.slice(0, colon), host]
}

/** The hints whose value is instances, several separated by commas. */
const instanceHints = ['same_host', 'different_host']
/** What a hint's value holds at most; six ids fit. */
const hintMax = 255

/** Hints with ids for names: a name may go to another instance later, and a filter knows ids only. */
async function hintsOf(db: Db, ctx: Context, hints: Record<string, string>): Promise<Record<string, string>> {
  const resolved = { ...hints }
  for (const hint of instanceHints) {
    const refs = (hints[hint] ?? '').split(',').flatMap((ref) => ref.trim() || [])
    const ids: string[] = []
    for (const ref of refs) ids.push((await resolveInstance(db, ref, scopeOf(ctx))).id)
    if (ids.length > 0) resolved[hint] = ids.join(',')
    if (ids.join(',').length > hintMax) fail('InvalidRequest', { what: `Hint ${hint} names more than six instances.` })
  }
  return resolved
}
