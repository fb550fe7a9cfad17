import { expect, onTestFinished, test, vi } from 'vitest'
import { type Clock, systemClock } from '../../src/core/base/clock.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { startBroker } from '../../src/core/broker/broker.ts'
import { loadConfig } from '../../src/core/config/load.ts'
import { hostPermissions } from '../../src/core/model/bus-user.ts'
import { joinBus, type Runtime } from '../../src/daemons/runtime.ts'

test('a daemon whose login is replaced ends after a minute, as one that starts with a wrong login does at once', async () => {
  const broker = await startBroker({ listen: [{ port: 0 }], users: { nova: 'pw' }, log: silentLog })
  onTestFinished(() => broker.close())
  const { port } = broker.addresses()[0] as { port: number }
  const login = () => `amqp://host.h1:${broker.putUser('host.h1', hostPermissions('h1')).password}@127.0.0.1:${port}`
  let aheadMs = 0
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs }
  const die = vi.fn()
  const undo: Array<() => Promise<void> | void> = []
  onTestFinished(async () => {
    for (const fn of undo) await fn()
  })
  const config = await loadConfig({ env: { NOVA_CONFIG: '/dev/null' } })
  const runtime: Runtime = { config, log: silentLog, clock, ids: systemIds, onStop: (fn) => void undo.push(fn), die }

  // It makes the exchange of the hosts.
  await joinBus(runtime, 'conductor', `amqp://nova:pw@127.0.0.1:${port}`)
  const url = login()
  const bus = await joinBus(runtime, 'compute', url)
  let drops = 0
  bus.onLink((up) => {
    if (!up) drops++
  })
  login()
  await vi.waitFor(() => expect(drops).toBe(1))
  await expect(joinBus(runtime, 'compute', url)).rejects.toMatchObject({ code: 'BusRefused' })
  expect(die).not.toHaveBeenCalled()
  await vi.waitFor(
    () => {
      aheadMs += 20_000
      expect(die).toHaveBeenCalledWith(expect.objectContaining({ code: 'BusRefused' }))
    },
    { timeout: 20_000, interval: 1_000 },
  )
})
