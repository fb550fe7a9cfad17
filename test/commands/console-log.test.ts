import { afterAll, beforeAll, expect, test } from 'vitest'
import { type StandIn, startStandIn, webInstance } from '../cli/stand-in.ts'

let standIn: StandIn
beforeAll(async () => {
  standIn = await startStandIn()
})
afterAll(() => standIn.close())

test('an empty console is told as that, beside the output', async () => {
  let instance = { ...webInstance, launchedAt: Date.now() - 900 }
  standIn.answers = { consoleLog: async () => ({ text: '' }), instanceShow: async () => instance }
  const young = await standIn.nova(['console-log', 'web'])
  expect(young).toMatchObject({ code: 0, stdout: '' })
  expect(young.stderr).toMatch(/^\(nothing yet: web was first started \d+\.\d s ago\)\n$/)
  instance = { ...instance, status: 'SHUTOFF' }
  expect((await standIn.nova(['console-log', 'web'])).stderr).toBe('(nothing yet: web is SHUTOFF)\n')
})

test('nothing is said beside a console with text', async () => {
  standIn.answers = { consoleLog: async () => ({ text: 'login:' }) }
  expect(await standIn.nova(['console-log', 'web'])).toMatchObject({ code: 0, stdout: 'login:\n', stderr: '' })
})
