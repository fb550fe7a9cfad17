#!/usr/bin/env node
// npm run demo: from a fresh clone to a virtual machine that was paused and unpaused. Every step is a real command.
import { spawnSync } from 'node:child_process'
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, stripVTControlCharacters, styleText } from 'node:util'

const root = new URL('..', import.meta.url).pathname
const bannerWithinSeconds = 180
const qemuLines = 20
const pretty = process.stdout.isTTY && !process.env.NO_COLOR
const paint = (style, text) => (pretty ? styleText(style, text) : text)

function options() {
  try {
    return parseArgs({ options: { driver: { type: 'string', default: 'qemu' } } }).values
  } catch (e) {
    stop(2, `${e.message}. Allowed: --driver qemu or --driver fake.`)
  }
}

function stop(code, line) {
  console.error(`demo: ${line}`)
  process.exit(code)
}

/** Runs a program to its end, its output on the terminal. */
const run = (file, args) => spawnSync(file, args, { cwd: root, stdio: 'inherit' }).status ?? 1
const has = (program) => spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program], { stdio: 'ignore' }).status === 0

function step(what, args) {
  console.log(`\n${paint('bold', what)}\n${paint('cyan', `$ nova ${args.join(' ')}`)}`)
  if (run(process.execPath, ['bin/run.js', ...args]) === 0) return
  if (ask(['show', 'demo', '-f', 'value', '-c', 'status']) === 'ERROR') stopBroken()
  stop(1, `"nova ${args.join(' ')}" failed; see the lines above.`)
}

function ask(args) {
  const { status, stdout } = spawnSync(process.execPath, ['bin/run.js', ...args], { cwd: root, encoding: 'utf8' })
  return status === 0 ? stdout.trim() : undefined
}

/** The newest modification time under some paths, in milliseconds. */
function newest(...paths) {
  const times = paths.flatMap((path) => {
    const full = join(root, path)
    if (!existsSync(full)) return [0]
    const info = statSync(full)
    return info.isDirectory() ? [newest(...readdirSync(full).map((name) => join(path, name)))] : [info.mtimeMs]
  })
  return Math.max(0, ...times)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    stop(1, `Node.js 20.19 or newer is needed; this is ${process.versions.node}.`)
}

function prepare() {
  if (newest('node_modules/.package-lock.json') < newest('package-lock.json')) {
    console.log(`${paint('bold', 'Install the packages of the project')}\n${paint('cyan', '$ npm ci')}`)
    if (run('npm', ['ci', '--no-audit', '--no-fund']) !== 0) stop(1, 'npm ci failed.')
  }
  if (newest('dist/nova.cjs') < newest('src', 'migrations', 'tools/build.ts', 'package.json')) {
    console.log(`\n${paint('bold', 'Build')}\n${paint('cyan', '$ npm run build')}`)
    if (run('npx', ['tsx', 'tools/build.ts']) !== 0) stop(1, 'The build failed.')
  }
}

/** Whether apt-get knows the kernel that the guest image is built from: machines made from container images know none. */
const knowsGuestKernel = () => quiet('apt-cache', ['show', 'linux-image-cloud-amd64']).status === 0
const quiet = (file, args) => spawnSync(file, args, { encoding: 'utf8' })

async function installQemu() {
  const packages = /NOVA_QEMU_PACKAGES=\(([^)]*)\)/
    .exec(readFileSync(join(root, 'tools/packages.sh'), 'utf8'))[1]
    .split(/\s+/)
  const hasQemu = ['qemu-system-x86_64', 'qemu-img'].every(has)
  const isRoot = process.getuid?.() === 0
  const sudo = !isRoot && has('sudo') && quiet('sudo', ['-n', 'true']).status === 0
  const mayInstall = has('apt-get') && (isRoot || sudo)
  if (hasQemu && (knowsGuestKernel() || !mayInstall)) return
  const install = ['install', '-y', '--no-install-recommends', ...packages]
  if (!mayInstall)
    stop(
      1,
      `QEMU is missing. As root: apt-get ${install.join(' ')}; or use the fake hypervisor: npm run demo -- --driver fake`,
    )
  const log = join(mkdtempSync(join(tmpdir(), 'nova-demo-')), 'apt.log')
  const apt = (args) => {
    const words = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', ...args]
    const { status, stdout, stderr } = quiet(sudo ? 'sudo' : 'env', sudo ? words : words.slice(1))
    appendFileSync(log, `$ apt-get ${args.join(' ')}\n${stdout ?? ''}${stderr ?? ''}`)
    return { done: status === 0, stdout: stdout ?? '' }
  }
  console.log(
    `\n${paint('bold', 'QEMU, and what the guest image is built with')}\n${paint('cyan', '$ apt-get update')}`,
  )
  if (!apt(['update']).done) console.log(`apt-get update failed: ${log}`)
  if (hasQemu) return
  const planned = apt([...install, '--assume-no'].filter((word) => word !== '-y')).stdout
  const count = /(\d+) newly installed/.exec(planned)?.[1] ?? 'some'
  const fetched = /Need to get ([\d.,]+ \w?B)/.exec(planned)?.[1] ?? '?'
  const used = /After this operation, ([\d.,]+ \w?B)/.exec(planned)?.[1] ?? '?'
  console.log(paint('cyan', `$ apt-get ${install.join(' ')}`))
  console.log(`${count} packages: ${fetched} to fetch, ${used} of disk. Their log: ${log}`)
  if (process.stdin.isTTY && process.stdout.isTTY && !(await agreed('Install them?')))
    stop(1, 'Nothing was installed. Without QEMU: npm run demo -- --driver fake')
  if (!apt(install).done) stop(1, `apt-get could not install them: ${log}`)
}

async function agreed(question) {
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
  } finally {
    terminal.close()
  }
}

/** A guest's text for a terminal: no escape sequences; control characters are shown as \x1b and the like. */
const harmless = (text) =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  stripVTControlCharacters(text).replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, (c) => {
    return `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`
  })

/** Ends the demo of an instance in ERROR: with its fault, and QEMU's last lines. */
function stopBroken() {
  const { id, host, fault } = JSON.parse(ask(['show', 'demo', '-f', 'json']) ?? '{}')
  console.error(
    `\n${paint('bold', 'The instance is in ERROR.')} ${harmless(fault?.message ?? 'Its fault was not recorded.')}`,
  )
  const options = JSON.parse(ask(['config', 'show', '-f', 'json']) ?? '[]')
  const stateDir = options.find(({ key }) => key === 'state_dir')?.value
  const dir = join(stateDir ?? '', 'compute', host ?? '', 'instances', id ?? '')
  for (const log of ['qemu-kvm.log', 'qemu.log'].map((name) => join(dir, name)).filter(existsSync)) {
    const lines = readFileSync(log, 'utf8').trimEnd().split('\n').slice(-qemuLines)
    console.error(`\nThe last lines of ${log}:\n${harmless(lines.join('\n'))}`)
  }
  stop(1, `The guest did not come up. What to do: ${fault?.hint ?? 'nova event list'}`)
}

const bannersIn = (text) => text.split('GUEST-READY').length - 1

/** Shows the console as it grows, until the guest has printed its banner this many times. */
async function showConsole(banners) {
  console.log(
    `\n${paint('bold', 'Watch the console until the banner of the guest')}\n${paint('cyan', '$ nova console-log demo')}`,
  )
  let shown = 0
  for (let waited = 0; waited < bannerWithinSeconds; waited++) {
    const text = harmless(ask(['console-log', 'demo']) ?? '')
    // A guest that was started again may have a shorter console.
    process.stdout.write(text.slice(text.length < shown ? 0 : shown))
    shown = text.length
    if (bannersIn(text) >= banners) return console.log()
    if (ask(['show', 'demo', '-f', 'value', '-c', 'status']) === 'ERROR') stopBroken()
    await sleep(1000)
  }
  stop(1, `The guest did not come up within ${bannerWithinSeconds} s; its console is above.`)
}

/**
 * Makes sure that an instance "demo" is running, whatever an earlier demo left. Returns the number of banners to expect
 * on its console: it keeps those of earlier starts.
 */
function bootDemo() {
  const status = ask(['show', 'demo', '-f', 'value', '-c', 'status'])
  if (status === 'ERROR') step('Remove the broken instance of an earlier demo', ['delete', 'demo', '--wait'])
  if (status === undefined || status === 'ERROR') {
    step('Boot an instance', ['boot', 'demo', '--wait'])
    return 1
  }
  const before = bannersIn(ask(['console-log', 'demo']) ?? '')
  const fix = { PAUSED: 'unpause', SUSPENDED: 'resume', SHUTOFF: 'start' }[status]
  if (fix) step(`The instance of an earlier demo is ${status}`, [fix, 'demo', '--wait'])
  else step('The instance of an earlier demo is still running', ['show', 'demo'])
  return fix === 'start' ? before + 1 : 1
}

const { driver } = options()
if (driver !== 'qemu' && driver !== 'fake') stop(2, `--driver ${driver}: allowed are qemu and fake.`)
checkNode()
// First of all: without QEMU nothing needs to be built.
if (driver === 'qemu') await installQemu()
prepare()
step('Start a cloud on this machine: broker, database, all services', ['up', '--driver', driver])
const others = JSON.parse(ask(['host', 'list', '-f', 'json']) ?? '[]').filter((host) => host.driver !== driver)
if (others.length > 0)
  stop(
    1,
    `The cloud that runs here has the driver ${others[0].driver}, not ${driver}. Delete its instances (node bin/run.js list; node bin/run.js delete NAME --wait), stop it (node bin/run.js down), and run the demo again; or: npm run demo -- --driver ${others[0].driver}`,
  )
step('The image that came with it', ['image', 'list'])
await showConsole(bootDemo())
step('Pause it', ['pause', 'demo', '--wait'])
step('It is PAUSED: its CPUs have stopped', ['list'])
step('Unpause it', ['unpause', 'demo', '--wait'])
step('It is ACTIVE again', ['list'])
// Python's client has the same name: only a `nova` of this package counts.
const onPath = spawnSync('sh', ['-c', 'command -v nova'], { encoding: 'utf8' }).stdout.trim()
const nova = onPath && realpathSync(onPath) === realpathSync(join(root, 'bin/run.js')) ? 'nova' : 'node bin/run.js'
console.log(`
${paint('bold', 'The cloud stays up. What to try next')} (nova here is: ${nova})
  ${nova} show demo                    all that is known of it
  ${nova} explain demo                 why it is on this host
  ${nova} operation list               what was done, and how far it came
  ${nova} event list                   everything that happened
  ${nova} boot web --count 2 --wait    two more
  ${nova} delete demo --wait           gone
  ${nova} down --instances             stop everything`)
