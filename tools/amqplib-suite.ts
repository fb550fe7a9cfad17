/**
 * Runs amqplib's own test suite against the embedded broker and prints the outcome as one line of JSON. The suite wants
 * its broker at localhost:5672, so everything happens in a network namespace of its own (`unshare -rn`), where that
 * port is free whatever this machine runs; if no namespace can be created, the port must be free. Exits with 1 if a
 * test fails, with 2 if the suite cannot be run.
 */
import { spawn, spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { openLog } from '../src/core/base/log.ts'
import { startBroker } from '../src/core/broker/broker.ts'

const require = createRequire(import.meta.url)
const suite = dirname(require.resolve('amqplib-suite'))

/**
 * Runs this program again in a network namespace with a loopback interface of its own; undefined if none can be
 * created.
 */
function enter(): number | undefined {
  const up = 'ip link set lo up'
  if (spawnSync('unshare', ['-rn', 'sh', '-c', up]).status !== 0) return undefined
  const tsx = require.resolve('tsx/cli')
  const inside = ['-rn', 'sh', '-c', `${up} && exec "$0" "$@" --inside`, process.execPath, tsx, import.meta.filename]
  return spawnSync('unshare', inside, { stdio: 'inherit' }).status ?? 2
}

/** Whether the suite's own dependencies are installed. */
function complete(): boolean {
  try {
    require.resolve('claire')
    return true
  } catch {
    console.error('the suite needs its development dependency "claire": npm ci')
    return false
  }
}

/** Counts of a run in node's TAP output. */
function count(tap: string, what: string): number {
  return Number(new RegExp(`^# ${what} (\\d+)$`, 'm').exec(tap)?.[1] ?? 0)
}

/** Runs the suite's files; its own limit of a second per test counts whole files on Node 20, so ours is longer. */
async function runSuite(): Promise<{ tap: string; status: number }> {
  const tests = join(suite, 'test')
  const files = readdirSync(tests).filter((file) => file.endsWith('.test.js'))
  const args = ['--test', '--test-reporter=tap', '--test-timeout=30000', ...files.map((file) => join(tests, file))]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let tap = ''
  child.stdout.on('data', (chunk) => {
    tap += chunk
  })
  const status = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? 1)))
  return { tap, status }
}

async function inside(): Promise<number> {
  const broker = await startBroker({
    listen: [
      { host: '127.0.0.1', port: 5672 },
      { host: '::1', port: 5672 },
    ],
    users: { guest: 'guest' },
    log: openLog('error'),
  })
  const { tap, status } = await runSuite()
  await broker.close()
  const result = {
    tests: count(tap, 'tests'),
    passed: count(tap, 'pass'),
    failed: count(tap, 'fail') + count(tap, 'cancelled'),
    connectionsLeft: broker.stats().connections,
  }
  if (status !== 0 || result.failed > 0)
    console.error(
      tap
        .split('\n')
        .filter((line) => /^\s*not ok/.test(line))
        .join('\n'),
    )
  console.log(JSON.stringify(result))
  return status === 0 && result.failed === 0 && result.tests > 0 ? 0 : 1
}

const isInside = process.argv.includes('--inside')
process.exitCode = complete() ? ((isInside ? undefined : enter()) ?? (await inside())) : 2
