import { afterEach, describe, expect, test } from 'vitest'
import { backends, Cloud } from '../kit/cloud.ts'
import { databases } from '../kit/databases.ts'
import { persist } from '../kit/patience.ts'
import { startProxy } from '../kit/proxy.ts'

let cloud: Cloud
afterEach(() => cloud?.close())

const found = await backends()

// Not run and not counted where there is no such server: `backends` has told.
const whereServed = found.includes('services') ? ['mysql'] : []
describe.each(whereServed)('a database server that goes away while the cloud runs (%s)', () => {
  test('is told in one line, nothing is changed, and work goes on by itself when it is back', async () => {
    const database = await (await databases()).find(({ name }) => name === 'mysql')!.open()
    const { hostname, port } = new URL(database.url)
    const line = await startProxy({ host: hostname, port: Number(port || 3306) })
    try {
      const url = new URL(database.url)
      url.port = String(line.port)
      cloud = await Cloud.open('embedded', { NOVA_DATABASE_URL: url.href })
      await cloud.up('--driver', 'fake')
      expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })

      line.down()
      // Side by side: each asks again for ten seconds before it gives up.
      const commands = [['pause', 'web'], ['boot', 'more'], ['list'], ['delete', 'web']]
      for (const ran of await Promise.all(commands.map((args) => cloud.nova(...args)))) {
        expect(ran).toMatchObject({ code: 1, stdout: '' })
        expect(ran.stderr).toMatch(
          /^(Taken by default.*\n)?nova: The database cannot be reached: .*\n {2}The change may not have been saved: .*\n$/,
        )
      }
      line.up()

      const rows = await persist(() => cloud.json<Array<{ name: string; status: string; task: string }>>('list'))
      expect(rows).toMatchObject([{ name: 'web', status: 'ACTIVE' }])
      expect(await cloud.nova('pause', 'web', '--wait')).toMatchObject({ code: 0 })
      await cloud.nova('down')
    } finally {
      await cloud.close()
      await line.close()
      await database.drop()
    }
  })
})

describe.each(found)('services that are down (%s)', (backend) => {
  test('a command without a conductor fails within a second of being asked', async () => {
    cloud = await Cloud.open(backend)
    const broker = backend === 'embedded' ? await cloud.daemon('broker') : undefined
    const conductor = await cloud.daemon('conductor')
    expect(await cloud.nova('list')).toMatchObject({ code: 0 })
    await conductor.stop()
    const began = performance.now()
    const ran = await cloud.nova('list')
    expect(performance.now() - began).toBeLessThan(2000)
    expect(ran).toMatchObject({ code: 1, stdout: '' })
    expect(ran.stderr).toMatch(/^nova: .*conductor.*\n/)
    await broker?.kill()
    expect(await cloud.nova('list')).toMatchObject({ code: backend === 'embedded' ? 1 : ran.code })
  })

  test('without a scheduler no boot, without its host no pause: told at once, and nothing is left behind', async () => {
    cloud = await Cloud.open(backend, { NOVA_COMPUTE_DRIVER: 'fake' })
    if (backend === 'embedded') await cloud.daemon('broker')
    await cloud.daemon('conductor')
    const compute = await cloud.daemon('compute')
    await cloud.nova('image', 'create', 'tiny', '--disk', import.meta.filename, '--disk-format', 'raw')
    expect(await cloud.nova('boot', 'web')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('nova: No daemon consumes the queue of scheduler on the bus.\n'),
    })
    expect(await cloud.json('list')).toEqual([])
    await cloud.daemon('scheduler')
    expect(await cloud.nova('boot', 'web', '--wait')).toMatchObject({ code: 0 })

    await compute.kill()
    expect(await cloud.nova('pause', 'web')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('nova: No daemon consumes the queue of compute.host on the bus.\n'),
    })
    expect(await cloud.json('list')).toMatchObject([{ name: 'web', status: 'ACTIVE', task: null }])
    await cloud.daemon('compute')
    expect(await cloud.nova('pause', 'web', '--wait')).toMatchObject({ code: 0 })
  })
})
