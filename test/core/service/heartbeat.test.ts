import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { scheduler } from '../../../src/core/contracts/scheduler.ts'
import { Speakers } from '../../../src/core/rpc/speakers.ts'
import { type HeartbeatDeps, startHeartbeat } from '../../../src/core/service/heartbeat.ts'
import { findService, serviceHeartbeat } from '../../../src/core/store/services.ts'
import { databases, type TestDatabase } from '../../kit/databases.ts'
import { migrated } from '../../kit/migrated.ts'

describe.each(await databases())('the heartbeat of a service, on $name', (database) => {
  let opened: TestDatabase
  beforeEach(async () => {
    opened = await migrated(database)
  })
  afterEach(() => opened.drop())

  const depsOf = (changes: Partial<HeartbeatDeps> = {}): HeartbeatDeps => ({
    db: opened.db,
    clock: systemClock,
    log: silentLog,
    version: '1.2.3',
    hostName: 'control',
    incarnation: 'life-1',
    speakers: new Speakers(),
    hearing: { beat: () => undefined },
    options: { heartbeatSeconds: 10, serviceDownTime: 30 },
    ...changes,
  })
  const reported = { binary: 'scheduler', contracts: { scheduler: '2.1' } }
  const shown = (id = 'scheduler@control') =>
    findService(opened.db, id, { now: systemClock.now(), downMs: 30_000, silentMs: 25_000 })

  test('is written before the service starts, and the service is down as soon as it has stopped', async () => {
    const stop = await startHeartbeat(depsOf(), reported, { lastPongAt: undefined })
    expect(await shown()).toMatchObject({
      state: 'up',
      version: '1.2.3',
      status: 'enabled',
      contracts: { scheduler: '2.1' },
    })
    await stop()
    expect((await shown())?.state).toBe('down')
  })

  test('says for how long the service has not heard itself', async () => {
    const stop = await startHeartbeat(depsOf(), reported, { lastPongAt: systemClock.now() - 60_000 })
    expect((await shown())?.unresponsive).toBe(true)
    await stop()
  })

  test('brings the versions that the other services speak', async () => {
    const other = { binary: 'scheduler', host: 'other', version: '1', incarnation: 'life-2' }
    const spoken = { ...other, reported: { contracts: { scheduler: '2.0' } } }
    await serviceHeartbeat(opened.db, spoken, systemClock.now())
    const speakers = new Speakers()
    const stop = await startHeartbeat(depsOf({ speakers }), reported, { lastPongAt: undefined })
    expect(speakers.everywhere(scheduler, 'scheduler')()).toBe('2.0')
    await stop()
  })

  test('a farewell leaves a later life of the service alone', async () => {
    const stop = await startHeartbeat(depsOf(), reported, { lastPongAt: undefined })
    const stopNext = await startHeartbeat(depsOf({ incarnation: 'life-2' }), reported, { lastPongAt: undefined })
    await stop()
    expect((await shown())?.state).toBe('up')
    await stopNext()
    expect((await shown())?.state).toBe('down')
  })
})
