import { describe, expect, test } from 'vitest'
import { ensureFirstProject } from '../../../src/core/conductor/defaults.ts'
import { quotaDefaults } from '../../../src/core/model/quota.ts'
import { databases } from '../../kit/databases.ts'
import { admin, member, options, rigsOf } from './rig.ts'

const unlimited = { instances: -1, cores: -1, ram: -1, image_size_total: -1 }
const usual = { instances: 10, cores: 20, ram: 51_200, image_size_total: 102_400 }

describe.each(await databases())('on $name', (database) => {
  const start = rigsOf(database)
  const red = member('red')

  test('a project has the limits of the options, and those of its own before them', async () => {
    const rig = await start({ quota: quotaDefaults })
    await rig.conductor.boot(red, { name: 'web', image: 'tiny', flavor: 'm1.small' })
    const used = { instances: 1, cores: 2, ram: 2048, image_size_total: 0 }
    expect(await rig.conductor.quotaShow(red, {})).toEqual({ project: 'red', limits: usual, used, own: [] })
    const limits = { ...usual, cores: 3, ram: -1 }
    const own = ['cores', 'ram']
    const set = await rig.conductor.quotaSet(admin, { project: 'red', limits: { cores: 3, ram: -1 } })
    expect({ ...set, own: [...set.own].sort() }).toEqual({ project: 'red', limits, used, own })
    await expect(rig.conductor.boot(red, { name: 'more', image: 'tiny', flavor: 'm1.small' })).rejects.toMatchObject({
      code: 'QuotaExceeded',
      message: 'Quota of project red exceeded: cores 2 used + 2 wanted > 3 allowed.',
    })
    await rig.conductor.quotaSet({ ...admin, userId: 'ada' }, { project: 'red', limits: { cores: -1 } })
    const { events } = await rig.conductor.eventList(admin, { limit: 1 })
    expect(events).toMatchObject([{ type: 'quota.update', projectId: 'red', userId: 'ada', message: 'cores -1' }])
    await rig.conductor.boot(red, { name: 'more', image: 'tiny', flavor: 'm1.small' })
  })

  test('the list has each project once, by id, in pages', async () => {
    const rig = await start()
    for (const project of ['red', 'blue']) await rig.conductor.quotaSet(admin, { project, limits: { instances: 1 } })
    await rig.conductor.quotaSet(admin, { project: 'red', limits: {} })
    const listed = async (page: { limit?: number; marker?: string }) =>
      (await rig.conductor.quotaList(admin, page)).quotas.map(({ project }) => project)
    expect(await listed({})).toEqual(['blue', 'red'])
    expect(await listed({ marker: 'blue', limit: 1 })).toEqual(['red'])
    await expect(listed({ marker: 'green' })).rejects.toMatchObject({ code: 'InvalidRequest' })
  })

  test('the first project starts without limits but those that the operator has set, and once only', async () => {
    const rig = await start({ quota: { ...quotaDefaults, cores: 4 } })
    await ensureFirstProject(rig.deps)
    const shown = () => rig.conductor.quotaShow(admin, { project: 'default' })
    expect((await shown()).limits).toEqual({ ...unlimited, cores: 4 })
    await rig.conductor.quotaSet(admin, { project: 'default', limits: { ram: 5 } })
    await ensureFirstProject(rig.deps)
    expect((await shown()).limits).toEqual({ ...unlimited, cores: 4, ram: 5 })
    expect((await rig.conductor.quotaShow(admin, { project: 'other' })).limits).toEqual({ ...usual, cores: 4 })
  })

  test('of twenty at the same moment exactly as many are let in as a limit of the project has room for', async () => {
    const rig = await start({ quota: options.quota })
    await rig.conductor.quotaSet(admin, { project: 'red', limits: { instances: 3 } })
    const boots = Array.from({ length: 20 }, (_, i) =>
      rig.conductor.boot(red, { name: `web-${i}`, image: 'tiny', flavor: 'm1.tiny' }),
    )
    const ended = await Promise.allSettled(boots)
    expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(3)
  })
})
