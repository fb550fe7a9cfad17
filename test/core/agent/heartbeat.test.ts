import { expect, test } from 'vitest'
import { deferred } from '../../../src/core/base/concurrency.ts'
import { beat, ctx, type Life, newRig } from '../compute/rig.ts'

test('what has told its end and is the host’s no more is not lost', async () => {
  const rig = await newRig()
  const agent = rig.conductor.agent()
  const id = rig.conductor.begin('boot', rig.conductor.newInstance())
  let lost = 0
  // The heartbeat overtakes the answer to finish.
  const finish: typeof agent.finish = async (...args) => {
    const answer = await agent.finish(...args)
    await beat(life, () => void lost++)
    return answer
  }
  const life: Life = await rig.life({ agent: { ...agent, finish } })
  await life.engine.run(ctx, id).ended
  expect(rig.conductor.saidOf('heartbeat')).toMatchObject([{ operations: [{ id }] }])
  expect(lost).toBe(0)
  expect(rig.conductor.row(id).state).toBe('succeeded')
})

test('the answer to a heartbeat from before does not end the next leg', async () => {
  const rig = await newRig()
  const { conductor } = rig
  const instance = conductor.newInstance('RUNNING', 'SHUTOFF', 'h9')
  const id = conductor.begin('migrate', instance, { target: 'h1' })
  const agent = conductor.agent()
  const [asked, answered] = [deferred(), deferred()]
  const heartbeat: typeof agent.heartbeat = async (_, { operations }) => {
    asked.resolve()
    await answered.promise
    return { lost: operations.map((one) => one.id), cancelled: [], leaseUntil: 0 }
  }
  const life = await rig.life({ agent: { ...agent, heartbeat } })
  const stop = rig.stops.at('destroy', 'nothing')
  const run = life.engine.run(ctx, id)
  await stop.reached
  let lost = 0
  const beating = beat(life, () => void lost++)
  await asked.promise
  stop.go()
  await run.ended
  // The leg behind it was announced to this host as well.
  await conductor.until(() => conductor.row(id).results.receive !== undefined)
  answered.resolve()
  await beating
  expect(lost).toBe(0)
  expect(life.engine.held().map(({ abandonedSignal }) => abandonedSignal.aborted)).toEqual([false])
  await life.kill()
})

test('what is another’s is left, and the host is told to join again', async () => {
  const rig = await newRig()
  const life = await rig.life()
  const stop = rig.stops.at('start')
  const id = rig.conductor.begin('boot', rig.conductor.newInstance())
  const { ended } = life.engine.run(ctx, id)
  await stop.reached
  rig.conductor.leg(id).owner = 'another life'
  let lost = 0
  await beat(life, () => void lost++)
  await ended
  expect(lost).toBe(1)
  await beat(life, () => void lost++)
  expect(lost).toBe(1)
})
