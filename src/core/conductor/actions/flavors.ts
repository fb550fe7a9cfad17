import type { conductor } from '../../contracts/conductor.ts'
import type { Flavor } from '../../contracts/shapes.ts'
import type { Context } from '../../model/context.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import { addFlavors, flavorCalled, listFlavors, removeFlavor } from '../../store/flavors.ts'
import type { ConductorDeps } from '../deps.ts'
import { onlyAdmins } from './access.ts'

/** Every flavor. */
export async function flavorList({ db }: Pick<ConductorDeps, 'db'>): Promise<Result<typeof conductor, 'flavorList'>> {
  return { flavors: await listFlavors(db) }
}

/** One flavor. `FlavorNotFound`, `AmbiguousName`. */
export const flavorShow = (
  { db }: Pick<ConductorDeps, 'db'>,
  { flavor }: Args<typeof conductor, 'flavorShow'>,
): Promise<Flavor> => flavorCalled(db, flavor)

/** Makes a flavor. Administrators only; `FlavorExists`. */
export async function flavorCreate(
  { db, ids, clock }: Pick<ConductorDeps, 'db' | 'ids' | 'clock'>,
  ctx: Context,
  { name, vcpus, memoryMb, diskGb }: Args<typeof conductor, 'flavorCreate'>,
): Promise<Flavor> {
  onlyAdmins(ctx, 'make flavors')
  const flavor = { id: ids.uuid(), name, vcpus, memoryMb, diskGb, createdAt: clock.now() }
  await addFlavors(db, [flavor])
  return flavor
}

/** Instances keep the size that they were made with. */
export async function flavorDelete(
  { db }: Pick<ConductorDeps, 'db'>,
  ctx: Context,
  { flavor: ref }: Args<typeof conductor, 'flavorDelete'>,
): Promise<Result<typeof conductor, 'flavorDelete'>> {
  onlyAdmins(ctx, 'delete flavors')
  const { id, name } = await flavorCalled(db, ref)
  await removeFlavor(db, id)
  return { id, name }
}
