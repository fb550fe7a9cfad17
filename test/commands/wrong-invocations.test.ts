import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Code, Failure, type Params, RemoteError } from '../../src/core/base/errors.ts'
import { type Answers, ids, type StandIn, startStandIn, webInstance } from '../cli/stand-in.ts'

/** What is typed after `nova`, the first line that it must answer with, the second, and what else is set. */
type Row = [
  typed: string,
  says: string | RegExp,
  hint?: string | RegExp | undefined,
  more?: { env?: Record<string, string> },
]

const scratch = mkdtempSync(join(tmpdir(), 'nova-wrong-'))
writeFileSync(join(scratch, 'empty'), '')
writeFileSync(join(scratch, 'private'), '-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n')
writeFileSync(join(scratch, 'text'), 'hello\n')
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl'
writeFileSync(join(scratch, 'cut.pub'), `${key.slice(0, 40)}\n`)
writeFileSync(join(scratch, 'two.pub'), `${key} a\n${key} b\n`)
writeFileSync(join(scratch, 'options.pub'), `no-pty ${key}\n`)
writeFileSync(join(scratch, 'large'), Buffer.alloc(60_000))
writeFileSync(join(scratch, 'bad.toml'), 'this is no TOML')
writeFileSync(join(scratch, 'unknown.toml'), '[bus]\nurls = "amqp://x"\n')
writeFileSync(join(scratch, 'value.toml'), '[log]\nlevel = "loud"\n')
mkdirSync(join(scratch, 'folder'))

/** Wrong by themselves: exit 2, and nothing is asked of the cloud. */
const misuses: Row[] = [
  // Commands.
  ['lst', 'There is no command "lst".', 'Did you mean nova list? All commands: nova --help'],
  ['puase web', 'There is no command "puase".', /^Did you mean nova pause/],
  ['xyzzy', 'There is no command "xyzzy".', 'All commands: nova --help'],
  ['server list', 'There is no command "server list".', 'Use: nova list'],
  ['server create web', 'There is no command "server create web".', 'Use: nova boot NAME'],
  ['ls', 'There is no command "ls".', 'Use: nova list'],
  ['resize web', 'There is no command "resize web".', /^nova does not resize yet/],
  ['network list', 'There is no command "network list".', /^nova has no networks yet/],
  ['version', 'There is no command "version".', 'Use: nova --version'],
  ['image upload x y', 'There is no command "image upload x y".', 'Use: nova image create NAME --disk FILE'],
  ['flavr list', 'There is no command "flavr".', /^Did you mean nova flavor/],
  ['flavor', 'flavor needs a command.', 'Commands: create, delete, list, show; more: nova flavor --help'],
  ['operation', 'operation needs a command.', /follow, list/],
  ['flavor creat x', 'flavor has no command "creat".', /^Did you mean nova flavor create\? Commands: create/],
  ['image uplod x', 'image has no command "uplod".', 'Commands: create, delete, list, show'],
  ['--frobnicate list', /^"--frobnicate" stands before the command/, /^Put the command first, then its flags/],
  ['--debug', 'No command was given.', 'All commands: nova --help'],
  ['-f json', 'No command was given.'],
  ['help xyzzy', 'There is no command "xyzzy".'],
  ['xyzzy --help', 'There is no command "xyzzy".'],
  // Flags.
  ['list --statu ACTIVE', 'list has no flag --statu.', 'Did you mean --status? All flags: nova list --help'],
  ['list --xyzzy', 'list has no flag --xyzzy.', 'All flags: nova list --help'],
  ['list -z', 'list has no flag -z.'],
  ['boot web --wiat', 'boot has no flag --wiat.', /^Did you mean --wait\?/],
  ['pause web --hard', 'pause has no flag --hard.'],
  ['list --limit', '--limit needs a value.'],
  ['list --status', '--status needs a value.', /^Allowed: BUILD, ACTIVE/],
  ['list --status active', '--status cannot be "active".', /^Did you mean ACTIVE\? Allowed: BUILD/],
  ['wait web --status GONE', '--status cannot be "GONE".', /DELETED$/],
  ['operation list --state done', '--state cannot be "done".', /^Allowed: queued, running/],
  ['boot web --image a --image b', '--image was given twice.', 'Give it once.'],
  ['boot web --dry-run --wait', '--dry-run and --wait cannot be combined: give one of them.'],
  ['operation list --open --state failed', '--open and --state cannot be combined: give one of them.'],
  ['list -f xml', '--format cannot be "xml".', 'Allowed: table, json, yaml, csv, value'],
  ['-f jsn list', '--format cannot be "jsn".', /^Did you mean json\?/],
  ['list', '--format cannot be "xml".', /^Allowed: table/, { env: { NOVA_FORMAT: 'xml' } }],
  ['list', '--timeout: "soon" is not a number of seconds above 0.', undefined, { env: { NOVA_TIMEOUT: 'soon' } }],
  ['list --timeout 0', '--timeout: "0" is not a number of seconds above 0.'],
  ['list --timeout -5', '--timeout: "-5" is not a number of seconds above 0.'],
  ['list --timeout abc', '--timeout: "abc" is not a number of seconds above 0.'],
  ['list -c nmae', 'There is no column "nmae".', /^Did you mean name\? Columns: id, name, status/],
  ['flavor list -c id,ram', 'There is no column "ram".', /Columns: id, name, vcpus/],
  ['boot web -c nothing', 'There is no column "nothing".'],
  ['pause web -c nothing', 'There is no column "nothing".'],
  // Numbers and sizes.
  ['list --limit 0', '--limit: "0" is not a whole number from 1 to 10000.'],
  ['list --limit 1.5', '--limit: "1.5" is not a whole number from 1 to 10000.'],
  ['list --limit many', '--limit: "many" is not a whole number from 1 to 10000.'],
  ['boot web --count 0', '--count: "0" is not a whole number from 1 to 1000.'],
  ['boot web --count 1001', '--count: "1001" is not a whole number from 1 to 1000.'],
  ['boot web --count -3', '--count: "-3" is not a whole number from 1 to 1000.'],
  ['console-log web --lines 0', '--lines: "0" is not a whole number of at least 1.'],
  ['event list --after -1', '--after: "-1" is not a whole number of at least 0.'],
  ['flavor create x --vcpus 0 --memory 1', '--vcpus: "0" is not a whole number from 1 to 1024.'],
  ['flavor create x --vcpus 1 --memory lots', '--memory: "lots" is not a size.', 'Write it as 512, 512M or 2G.'],
  ['flavor create x --vcpus 1 --memory 0', /memoryMb/],
  ['flavor create x --vcpus 1 --memory 1 --disk 1M', '--disk: "1M" is not a size.', 'Write it as 10, 10G or 1T.'],
  // Arguments.
  ['list web', 'list takes no arguments; too many: "web".', 'Usage: nova list; more: nova list --help'],
  ['show', 'show needs INSTANCE.', 'Usage: nova show INSTANCE; more: nova show --help'],
  ['show web db', 'show takes 1 argument; too many: "db".'],
  ['rename web', 'rename needs NAME.', 'Usage: nova rename INSTANCE NAME; more: nova rename --help'],
  ['pause', 'pause needs INSTANCE.', 'Usage: nova pause INSTANCE...; more: nova pause --help'],
  ['reboot --hard', 'reboot needs INSTANCE.'],
  ['delete', 'delete needs INSTANCE.'],
  ['boot', 'boot needs NAME.', 'Usage: nova boot NAME; more: nova boot --help'],
  ['flavor create x', 'flavor create needs --vcpus and --memory.', /--vcpus N --memory MIB/],
  ['flavor show', 'flavor show needs FLAVOR.'],
  ['host show', 'host show needs HOST.'],
  ['dashboard', 'The dashboard needs a terminal.', /nova dashboard --once/],
  ['top --once now', /^dashboard takes no arguments|^top takes|too much: "now"/],
  ['bus purge', 'bus purge needs QUEUE.'],
  ['bus purge conductor', 'bus purge drops messages.', 'Confirm with --yes.'],
  ['bus status --sort colour', /--sort/],
  ['flavor list --limit 0', /"0" is not a whole number from 1 to 10000/],
  ['image list --limit 10001', /"10001" is not a whole number/],
  ['host list --limit all', /"all" is not a whole number/],
  ['service list --marker', '--marker needs a value.'],
  ['list --project "default "', '--project must be 1 to 255 visible characters, without a blank at either end.'],
  [`list --project ${'p'.repeat(256)}`, /--project must be 1 to 255 visible characters/],
  ['list --project "pr\u202eod"', /--project must be 1 to 255 visible characters/],
  ['boot "bad\ufffd"', '"bad\ufffd" is not UTF-8.'],
  ['boot "x\u202egnp.exe"', /name: no invisible characters/],
  ['host add', 'host add needs HOST.'],
  ['host add "my host"', /host.*letters, digits, dots and hyphens/],
  ['host set h1', /--accept-capacity, --availability-zone/],
  ['host set h1 --availability-zone nova:h1', /availabilityZone.*a zone without colons/],
  ['host delete', 'host delete needs HOST.'],
  ['service enable', 'service enable needs HOST.'],
  ['operation show', 'operation show needs OPERATION.'],
  [
    'operation show 12',
    '"12" is not an operation id.',
    'Type at least the first eight characters of an id: nova operation list',
  ],
  ['operation cancel web', '"web" is not an operation id.'],
  ['completion', 'completion needs SHELL.'],
  ['completion tcsh', '"tcsh" is not allowed here.', 'Allowed: bash, zsh, fish'],
  // What the contract refuses before anything is sent.
  ['show ""', /instance.*a name or id is needed/],
  ['boot ""', /name.*must not be empty/],
  ['boot " web"', /name.*no blank at the start or end/],
  ['migrate web --host "my host"', /host.*letters, digits, dots and hyphens/],
  ['host show "my host"', /host.*letters, digits, dots and hyphens/],
  // Pairs and files.
  ['boot web --meta role', '--meta "role" has no value.', 'Write it as --meta KEY=VALUE.'],
  ['boot web --meta =x', '--meta "=x" has no value.'],
  ['boot web --meta a=1 --meta a=2', '--meta "a" is given twice.', 'Leave one out.'],
  ['boot web --meta __proto__=x', '--meta: "__proto__" cannot be a key.'],
  ['boot web --hint same_host', '--hint "same_host" has no value.'],
  ['boot web --key @/none', '--key: @/none does not exist.', 'Give a public key, or a file that holds one.'],
  ['boot web --key @/private', /^--key: .* is a private key, which must not leave this machine\.$/, /\.pub$/],
  ['boot web --key @/text', /^--key: .* holds no SSH public key\.$/, 'Create one: ssh-keygen -t ed25519'],
  [
    'boot web --key @/cut.pub',
    /^--key: the key in .* is cut off or damaged\.$/,
    'Copy the whole line of the .pub file.',
  ],
  ['boot web --key @/two.pub', /holds 2 keys; an instance gets one\.$/],
  ['boot web --key @/options.pub', /has options in front, which guests do not get\.$/],
  ['boot web --user-data @/none', '--user-data: @/none does not exist.'],
  ['boot web --user-data @/folder', '--user-data: @/folder is a directory.'],
  ['boot web --user-data @/large', /has more than 49149 bytes/],
  ['boot web --user-data /dev/zero', /has more than 49149 bytes/],
  ['boot web --key /dev/zero', /has more than 65536 bytes/],
  ['list --config /dev/zero', /it has more than 1048576 bytes/],
  ['image create x', 'An image needs --disk or --kernel.', 'nova image create NAME --disk FILE'],
  ['image create x --disk @/none', '--disk: @/none does not exist.', 'Give the path of a file.'],
  ['image create x --disk @/folder', '--disk: @/folder is not a file.'],
  ['image create x --disk @/empty', '--disk: @/empty is empty.'],
  ['image create x --ramdisk @/text', '--ramdisk can only be used together with --kernel.'],
  ['image create x --disk @/text --disk-format vhd', '--disk-format cannot be "vhd".', 'Allowed: qcow2, raw'],
  ['boot -- -x', /name.*no hyphen at the start/],
  // Configuration.
  ['list --config @/none.toml', /none\.toml.*there is no such file/, undefined],
  ['list --config @/bad.toml', /bad\.toml \(line 1, column \d+\): not TOML/],
  ['list --config @/unknown.toml', /bus\.urls .*unknown; known keys are bus\.url/],
  ['list --config @/value.toml', /log\.level = "loud" .*allowed are debug, info/],
  [
    'list',
    /log\.level = "loud" \(NOVA_LOG_LEVEL\)/,
    'All options: nova config docs',
    { env: { NOVA_LOG_LEVEL: 'loud' } },
  ],
  ['list', /bus\.url = ftp:/, undefined, { env: { NOVA_BUS_URL: 'ftp://x' } }],
]

/** An answer that does not come while somebody waits for it. */
let end = (): void => undefined
const untilTheEnd = new Promise<{ instances: [] }>((resolve) => {
  end = () => resolve({ instances: [] })
})

/** Right by themselves, but the cloud says no: exit 1 with its text and its hint. */
const failed =
  <C extends Code>(code: C, params: Params<C>): (() => Promise<never>) =>
  async () => {
    throw new Failure(code, params)
  }
const refusals: Array<[typed: string, answers: Answers, says: string | RegExp, hint?: string | RegExp]> = [
  [
    'show wbe',
    { instanceShow: failed('InstanceNotFound', { id: 'wbe', near: ['web'] }) },
    'No instance "wbe".',
    'Did you mean "web"?',
  ],
  [
    'pause nobody',
    { begin: failed('InstanceNotFound', { id: 'nobody' }) },
    'No instance "nobody".',
    'List them: nova list',
  ],
  [
    'start web',
    { begin: failed('AmbiguousName', { kind: 'instance', name: 'web', ids: [ids.web, ids.db] }) },
    '2 instances are named "web".',
    new RegExp(ids.db),
  ],
  [
    'stop web',
    {
      begin: failed('InstanceInvalidState', {
        name: 'web',
        state: 'PAUSED',
        verb: 'stop',
        allowed: ['ACTIVE'],
        first: 'unpause',
      }),
    },
    'Cannot stop web: it is PAUSED. Unpause it first.',
    'To stop an instance, it must be ACTIVE.',
  ],
  [
    'reboot web',
    { begin: failed('InstanceBusy', { name: 'web', task: 'pausing', operation: ids.pause }) },
    'web is busy (pausing). An instance can have one operation at a time.',
    `Wait for it to end: nova operation follow ${ids.pause}`,
  ],
  [
    'boot web',
    { boot: failed('QuotaExceeded', { resource: 'cores', limit: 4, used: 4, wanted: 1, project: 'default' }) },
    /^Quota of project default exceeded: cores 4 used/,
  ],
  [
    'boot web --wait',
    { boot: failed('NoValidHost', { reason: '2 hosts: 2 full', instance: 'web' }) },
    'No valid host was found: 2 hosts: 2 full',
    'The reason for each host: nova explain web',
  ],
  [
    'boot web --availability-zone nova:host1',
    { boot: failed('Forbidden', { what: 'Only administrators choose a host.' }) },
    'Only administrators choose a host.',
  ],
  [
    'console-log web',
    { consoleLog: failed('HostUnreachable', { target: 'compute.host1' }) },
    /No daemon consumes/,
    /nova service list/,
  ],
  [
    'list --timeout 0.5',
    { instanceList: failed('DatabaseDown', { why: 'connection refused' }) },
    'The database cannot be reached: connection refused.',
    /nova doctor/,
  ],
  [
    'flavor create a --vcpus 1 --memory 64',
    { flavorCreate: failed('FlavorExists', { name: 'a' }) },
    'A flavor named "a" already exists.',
  ],
  [
    'image delete x',
    { imageDelete: failed('ImageNotFound', { id: 'x' }) },
    'No image "x".',
    'List them: nova image list',
  ],
  [
    'migrate web',
    { begin: failed('NoValidHost', { reason: 'besides host1, no host is up and enabled.' }) },
    'No valid host was found: besides host1, no host is up and enabled.',
  ],
  ['host list', {}, 'conductor has no method "hostList".', /nova status/],
  [
    'explain web',
    { explain: async () => ({ instance: webInstance }) },
    'web has not been placed yet: there is nothing to explain.',
    'See it: nova show web',
  ],
  [
    'operation follow 33333333-3333-4333-8333-333333333333',
    { operationShow: failed('OperationNotFound', { id: ids.boot }) },
    `No operation "${ids.boot}".`,
  ],
  [
    'list --timeout 0.3',
    { instanceList: () => untilTheEnd },
    /^No answer from conductor to "instanceList" within 0\.3 s\.$/,
    /nova operation list/,
  ],
  [
    'list',
    {
      instanceList: async () => {
        throw new TypeError('x is undefined')
      },
    },
    /^The other side failed with TypeError: x is undefined \(req-[0-9a-f-]+\)$/,
    /log of the daemon/,
  ],
]

let standIn: StandIn
beforeAll(async () => {
  standIn = await startStandIn()
})
afterAll(async () => {
  end()
  await standIn.close()
  rmSync(scratch, { recursive: true, force: true })
})

/** Splits as a shell does where only double quotes are special; `@` is the scratch directory. */
const split = (typed: string): string[] =>
  [...typed.matchAll(/"([^"]*)"|\S+/g)].map((match) => (match[1] ?? match[0]).replaceAll('@', scratch))
const inScratch = (text: string | RegExp) => (typeof text === 'string' ? text.replaceAll('@', scratch) : text)
const match = (text: string | RegExp) => (typeof text === 'string' ? text : expect.stringMatching(text))

test('there are at least sixty wrong invocations here', () => {
  expect(misuses.length + refusals.length).toBeGreaterThanOrEqual(60)
})

describe.concurrent('typed wrongly', () => {
  test.each(misuses)('nova %s', async (typed, says, hint, more) => {
    const { code, stdout, stderr } = await standIn.nova(split(typed), more?.env)
    const [first, second, ...rest] = stderr.split('\n')
    expect(first?.replace(/^nova: /, '')).toEqual(match(inScratch(says)))
    if (hint !== undefined) expect(second?.trim()).toEqual(match(hint))
    expect(first).toMatch(/^nova: /)
    expect([second === '' || second?.startsWith('  '), rest.filter(Boolean)]).toEqual([true, []])
    expect([code, stdout]).toEqual([2, ''])
  })
})

test('of all these, none reached the cloud', () => {
  expect(standIn.asked).toEqual([])
})

test.each([
  ['bus.url=amqp://u:secret@h/v', 'bus.url', 'NOVA_BUS_URL'],
  ['database.url=mysql://u:secret@h/d', 'database.url', 'NOVA_DATABASE_URL'],
  ['bus.management_url=http://u:secret@h', 'bus.management_url', 'NOVA_BUS_MANAGEMENT_URL'],
])('--set %s is refused: others could read the password', async (pair, key, variable) => {
  for (const words of [['up'], ['daemon', 'conductor']]) {
    const { code, stderr } = await standIn.nova([...words, '--set', 'log.level=info', '--set', pair])
    expect([code, stderr]).toEqual([
      2,
      `nova: --set: ${key} has a password, and a password on the command line can be read by others on this machine.\n  Put the value into the configuration file or the environment (${variable}).\n`,
    ])
  }
})

describe('refused by the cloud', () => {
  test.each(refusals)('nova %s', async (typed, answers, says, hint) => {
    standIn.answers = answers
    const { code, stdout, stderr } = await standIn.nova(split(typed))
    const [first, second] = stderr.split('\n')
    expect(first?.replace(/^nova: /, '')).toEqual(match(says))
    if (hint !== undefined) expect(second?.trim()).toEqual(match(hint))
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).not.toContain('    at ')
  })

  test('the stack of the other side is shown with --debug only', async () => {
    standIn.answers = {
      instanceList: async () => {
        throw new TypeError('x is undefined')
      },
    }
    const { stderr } = await standIn.nova(['list', '--debug'])
    expect(stderr).toContain('TypeError: x is undefined\n    at ')
    expect(stderr).toContain(RemoteError.name)
  })

  test('no word of others moves the cursor, in no line on standard error', async () => {
    standIn.answers = {
      instanceList: async () => {
        throw new TypeError('a\u001b[2Jb\u202ec')
      },
    }
    const { stderr } = await standIn.nova(['list', '--debug'])
    expect(stderr).toContain('a\\x1b[2Jb\\u{202e}c\n    at ')
    expect(stderr.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  })

  test('a bus that is not there says where it was sought and what to do', async () => {
    const { code, stderr } = await standIn.nova(['list'], { NOVA_BUS_URL: 'amqp://guest:secret@127.0.0.1:1' })
    expect(stderr).toBe(
      [
        'nova: The bus at amqp://guest:***@127.0.0.1:1 cannot be reached: nothing listens there (ECONNREFUSED).',
        '  Start a cloud on this machine: nova up. Or name another bus: NOVA_BUS_URL=amqp://…',
        '',
      ].join('\n'),
    )
    expect(code).toBe(1)
  })

  test('a bus that does not know the password says so', async () => {
    const { code, stderr } = await standIn.nova(['list'], { NOVA_BUS_URL: standIn.url.replace('pass-word', 'wrong') })
    expect(stderr).toMatch(/^nova: The bus at amqp:\/\/nova:\*\*\*@127\.0\.0\.1:\d+ refused the login/)
    expect(code).toBe(1)
  })

  test.each([
    ['like an option', 'NOVA_BUS_ULR', ['list'], 'Did you mean NOVA_BUS_URL?'],
    ['like a flag of another command', 'NOVA_MIGRATE_HSOT', ['list'], 'Did you mean NOVA_MIGRATE_HOST?'],
    ['like nothing', 'NOVA_FROBNICATE', ['list'], 'All variables: nova config docs'],
  ])('a variable that nova does not know is told, %s, and hinders nothing', async (_, name, argv, says) => {
    standIn.answers = { instanceList: async () => ({ instances: [] }) }
    const known = { NOVA_MIGRATE_HOST: 'h1', NOVA_TEST_SEED: '1', NOVA_COMPUTE_SLOTS: '2' }
    const { code, stderr } = await standIn.nova(argv, { ...known, [name]: 'amqp://u:secret@b' })
    expect([code, stderr]).toEqual([0, `${name} is in the environment, but nova has no such variable. ${says}\n`])
  })

  test('where no cloud was started yet, that is said', async () => {
    const { code, stderr } = await standIn.nova(['list'], { NOVA_BUS_URL: '', NOVA_STATE_DIR: join(scratch, 'none') })
    expect(stderr).toMatch(/no cloud has been started here yet\.\n {2}Start a cloud on this machine: nova up/)
    expect(code).toBe(1)
  })
})
