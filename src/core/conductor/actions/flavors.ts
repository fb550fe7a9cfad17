import type { conductor } from '../../contracts/conductor.ts'
import type { Flavor } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import { inOneAnswer, pageDefault } from '../../model/page.ts'
import { change, type NewEvent } from '../../operations/change.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { addFlavors, listFlavors, removeFlavor, resolveFlavor } from '../../store/flavors.ts'
import type { ConductorDeps } from '../deps.ts'

/** The flavors, the smallest first. */
export async function flavorList(
  { db }: Pick<ConductorDeps, 'db'>,
  { limit = pageDefault, marker }: Args<typeof conductor, 'flavorList'>,
): Promise<Result<typeof conductor, 'flavorList'>> {
  const { rows, ...more } = inOneAnswer(await listFlavors(db, { limit, marker }))
  return { flavors: rows, ...more }
}

/** One flavor. `FlavorNotFound`, `AmbiguousName`. */
export const flavorShow = (
  { db }: Pick<ConductorDeps, 'db'>,
  { flavor }: Args<typeof conductor, 'flavorShow'>,
): Promise<Flavor> => resolveFlavor(db, flavor)

/** Makes a flavor. `FlavorExists`. */
export async function flavorCreate(
  deps: Pick<ConductorDeps, 'db' | 'ids' | 'clock' | 'publish'>,
  ctx: Context,
  { name, vcpus, memoryMb, diskGb }: Args<typeof conductor, 'flavorCreate'>,
): Promise<Flavor> {
  const flavor = { id: deps.ids.uuid(), name, vcpus, memoryMb, diskGb, createdAt: deps.clock.now() }
  await change(deps, async (db, emit) => {
    await addFlavors(db, [flavor])
    emit(reported(deps, ctx, 'flavor.create', flavor))
  })
  return flavor
}

/** Instances keep the size that they were made with. */
export async function flavorDelete(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'publish'>,
  ctx: Context,
  { flavor: ref }: Args<typeof conductor, 'flavorDelete'>,
): Promise<Result<typeof conductor, 'flavorDelete'>> {
  const flavor = await resolveFlavor(deps.db, ref)
  await change(deps, async (db, emit) => {
    await removeFlavor(db, flavor.id)
    emit(reported(deps, ctx, 'flavor.delete', flavor))
  })
  return { id: flavor.id, name: flavor.name }
}

const reported = ({ clock }: Pick<ConductorDeps, 'clock'>, ctx: Context, type: string, flavor: Flavor): NewEvent => ({
  at: clock.now(),
  type,
  requestId: ctx.requestId,
  projectId: ctx.projectId,
  userId: ctx.userId,
  message: flavor.name,
  flavor,
})
