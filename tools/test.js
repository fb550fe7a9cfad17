#!/usr/bin/env node
// npm test: installs and builds what is needed, runs every suite that can run here, and lists what did not run and why.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const root = new URL('..', import.meta.url).pathname
const run = (file, args, env = {}) =>
  spawnSync(file, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1

const stale = () => {
  const installed = join(root, 'node_modules', '.package-lock.json')
  return !existsSync(installed) || statSync(installed).mtimeMs < statSync(join(root, 'package-lock.json')).mtimeMs
}

if (stale() && run('npm', ['ci', '--no-audit', '--no-fund']) !== 0) process.exit(1)
if (run('npx', ['tsx', 'tools/build.ts']) !== 0) process.exit(1)

const scratch = mkdtempSync(join(tmpdir(), 'nova-test-'))
const report = join(scratch, 'report.json')
const absent = join(scratch, 'missing.txt')
const status = run(
  'npx',
  ['vitest', 'run', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`, ...process.argv.slice(2)],
  {
    NOVA_TEST_MISSING: absent,
  },
)

const told = existsSync(absent) ? [...new Set(readFileSync(absent, 'utf8').trim().split('\n'))] : []
console.log(
  told.length === 0
    ? '\nEvery suite ran.'
    : `\nDid not run on this machine:\n${told.map((line) => `  - ${line}`).join('\n')}`,
)
if (existsSync(report)) {
  const { numPassedTests, numFailedTests, numPendingTests, numTodoTests, testResults } = JSON.parse(
    readFileSync(report, 'utf8'),
  )
  // A file that could not be loaded has no tests to count, but it has failed.
  const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0).length
  console.log(`${numPassedTests} passed, ${numFailedTests + broken} failed, ${numPendingTests + numTodoTests} skipped`)
}
rmSync(scratch, { recursive: true, force: true })
process.exit(status)
