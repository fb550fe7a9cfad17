import { execFile } from 'node:child_process'
import { resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../..')

test("amqplib's own suite finds nothing that is not as in RabbitMQ", { timeout: 180_000 }, async () => {
  const tool = ['tsx', 'tools/amqplib-suite.ts']
  const { stdout } = await promisify(execFile)('npx', tool, { cwd: root })
  const { tests, passed, failed } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}')
  expect(failed).toBe(0)
  expect(passed).toBe(tests)
  expect(passed).toBeGreaterThanOrEqual(300)
})
