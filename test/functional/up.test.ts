import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { Cloud } from '../kit/cloud.ts'
import { persist } from '../kit/patience.ts'
import { rabbitmq } from '../kit/rabbitmq.ts'

const nowhere = 'amqp://guest:secret@127.0.0.1:1/'
const shown = 'amqp://guest:***@127.0.0.1:1/'

let cloud: Cloud
afterEach(() => cloud?.close())

/** The processes of this cloud: each has its state directory in its environment or its arguments. */
function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const of = readFileSync(`/proc/${pid}/environ`, 'utf8') + readFileSync(`/proc/${pid}/cmdline`, 'utf8')
        return of.includes(cloud.stateDir)
      } catch {
        return false
      }
    })
    .map(Number)
}

/** `nova up` under way, with what it has said so far. */
function upStarted(...args: string[]): { child: ChildProcess; said: () => string } {
  const program = resolve(import.meta.dirname, '../../bin/run.js')
  const child = spawn(process.execPath, [program, 'up', '--driver', 'fake', ...args], {
    env: { ...process.env, ...cloud.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let text = ''
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    text += piece
  })
  return { child, said: () => text }
}

describe('nova up, if the bus is not there', { timeout: 60_000 }, () => {
  test('says what it waits for, without the password, and gives up after --timeout; nothing is left', async () => {
    cloud = await Cloud.open('embedded', { NOVA_BUS_URL: nowhere })
    const { code, stderr } = await cloud.nova('up', '--driver', 'fake', '--timeout', '5')
    expect(code).toBe(1)
    expect(stderr).toContain(`Waiting for the bus at ${shown}: nothing listens there (ECONNREFUSED) …\n`)
    expect(stderr).toContain(
      `nova: The cloud did not start: no answer within 5 s (waiting for the bus at ${shown}: nothing listens there ` +
        '(ECONNREFUSED)); everything that was started has been stopped.\n',
    )
    expect(stderr).not.toContain('secret')
    expect(processes()).toEqual([])
  })

  test.each<[NodeJS.Signals, number]>([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ])('%s ends all that was started, with %i', async (signal, exitCode) => {
    cloud = await Cloud.open('embedded', { NOVA_BUS_URL: nowhere })
    const { child, said } = upStarted()
    // It, its supervisor, and the cloud's process.
    await persist(async () => {
      expect(processes()).toHaveLength(3)
      expect(cloud.log()).toContain('waiting for the bus')
    })
    child.kill(signal)
    expect(await once(child, 'exit')).toEqual([exitCode, null])
    expect(said()).toContain('nova: Interrupted; everything that was started has been stopped.\n')
    expect(processes()).toEqual([])
  })

  test('Ctrl-C in its first moment leaves nothing either', async () => {
    cloud = await Cloud.open('embedded', { NOVA_BUS_URL: nowhere })
    const { child, said } = upStarted()
    await persist(async () => expect(processes().length).toBeGreaterThanOrEqual(2))
    child.kill('SIGINT')
    expect(await once(child, 'exit')).toEqual([130, null])
    expect(said()).toContain('Interrupted')
    expect(processes()).toEqual([])
  })

  test('a second one, with another bus, says that the first one waits and how to stop it', async () => {
    cloud = await Cloud.open('embedded', { NOVA_BUS_URL: nowhere })
    const { child } = upStarted()
    await persist(async () => expect(cloud.log()).toContain('waiting for the bus'))
    const { NOVA_BUS_URL: _, ...env } = cloud.env
    Object.assign(cloud.env, { ...env, NOVA_BUS_URL: '' })
    expect(await cloud.nova('up', '--timeout', '1')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/already started here \(process \d+\) but does not answer[\s\S]*nova down/),
    })
    child.kill('SIGINT')
    await once(child, 'exit')
  })
})

const bus = await rabbitmq()
describe.runIf(bus)('nova up on a RabbitMQ whose exchange "nova" has other flags', () => {
  test('says so at once', async () => {
    const { connect } = await import('amqplib')
    const model = await connect(bus?.url ?? '')
    const channel = await model.createChannel()
    await channel.assertExchange('nova', 'topic', { durable: false })
    cloud = await Cloud.open('embedded', { NOVA_BUS_URL: bus?.url ?? '' })
    try {
      const { code, stderr } = await cloud.nova('up', '--driver', 'fake')
      expect(code).toBe(1)
      expect(stderr).toMatch(
        /a different queue or exchange of that name: .*inequivalent arg 'durable' for exchange 'nova'/,
      )
      expect(processes()).toEqual([])
    } finally {
      await model.close()
      await bus?.drop()
    }
  })
})
