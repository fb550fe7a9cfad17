import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { exec } from '../src/core/base/exec.ts'
import { loadConfig } from '../src/core/config/load.ts'
import { busUrl, databaseUrl } from '../src/core/config/places.ts'
import { parseAddresses } from '../src/core/rpc/address.ts'

const root = resolve(import.meta.dirname, '..')
const examples = join(root, 'examples')
const named = (end: string): string[] =>
  readdirSync(examples, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith(end))
    .sort()
const units = named('.service')
const scratch = mkdtempSync(join(tmpdir(), 'nova-examples-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

/** The lines `KEY=VALUE` of a file, as systemd reads it. */
const pairs = (text: string): Array<[key: string, value: string]> =>
  text
    .split('\n')
    .filter((line) => /^[^#[].*=/.test(line))
    .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)])

describe('configurations', () => {
  const load = (role: string) =>
    loadConfig({
      file: join(examples, role, 'nova.toml'),
      env: Object.fromEntries(pairs(readFileSync(join(examples, role, 'nova.env'), 'utf8'))),
    })

  test('that of a controller loads, with bus, management API and database', async () => {
    const config = await load('controller')
    expect(parseAddresses(busUrl(config))[0]?.shown).toBe('amqp://nova:***@bus.example:5672/nova')
    expect(config.bus.managementUrl).toContain('bus.example:15672')
    expect(databaseUrl(config)).toContain('mysql://')
  })

  test('that of a compute host loads, with the login of that host and without a database', async () => {
    const config = await load('compute')
    expect(parseAddresses(busUrl(config))[0]?.shown).toContain(`://compute.${config.compute.host}:`)
    expect(config.database.url).toBe('')
  })

  test('every machine declares queues alike, and no secret is in a file that all may read', async () => {
    const [controller, compute] = await Promise.all([load('controller'), load('compute')])
    expect(controller.bus.queues).toBe(compute.bus.queues)
    for (const file of named('.toml')) expect(readFileSync(join(examples, file), 'utf8')).not.toMatch(/:\/\/\S*@/)
  })
})

describe.each(units)('%s', (unit) => {
  const text = readFileSync(join(examples, unit), 'utf8')
  const settings = pairs(text)
  const all = (key: string) => settings.filter(([name]) => name === key).map(([, value]) => value)

  test('starts a command that exists', () => {
    const [program, ...words] = (all('ExecStart')[0] ?? '').split(' ')
    expect(program).toBe('/usr/bin/nova')
    const command = words.filter((word) => !word.startsWith('-'))
    expect(existsSync(join(root, 'src', 'commands', `${command.join('/')}.ts`))).toBe(true)
  })

  test('waits for readiness, does not restart a wrong configuration, and gives up privileges', () => {
    expect(Object.fromEntries(settings)).toMatchObject({
      Type: 'notify',
      NotifyAccess: 'all',
      RestartPreventExitStatus: '2',
      NoNewPrivileges: 'yes',
      PrivateTmp: 'yes',
      ProtectSystem: 'strict',
      CapabilityBoundingSet: '',
    })
    expect(all('MemoryDenyWriteExecute')).toEqual([])
  })

  test('leaves instances and their KVM alone, if it runs any', () => {
    const runsGuests = !/daemon (conductor|scheduler)/.test(text)
    expect(all('KillMode')).toEqual(runsGuests ? ['process'] : [])
    expect(all('DeviceAllow')).toEqual(runsGuests ? ['/dev/kvm rw'] : [])
    expect(all('PrivateDevices')).toEqual(runsGuests ? [] : ['yes'])
  })

  test('has only settings that systemd knows', async () => {
    expect(settings.map(([key]) => key).filter((key) => !known.has(key))).toEqual([])
    // The program need not be installed here, for systemd-analyze looks for it.
    const copy = join(scratch, unit.replaceAll('/', '-'))
    writeFileSync(copy, text.replace('/usr/bin/nova', process.execPath))
    const verified = await exec('systemd-analyze', ['verify', '--man=no', copy])
    if (verified.code !== 127) expect(verified).toMatchObject({ code: 0, stdout: '', stderr: '' })
  })
})

/** The settings of systemd.unit(5), systemd.service(5), systemd.exec(5) and systemd.resource-control(5) in the examples. */
const known = new Set([
  ...['Description', 'After', 'Wants', 'WantedBy'],
  ...['Type', 'NotifyAccess', 'ExecStart', 'TimeoutStartSec', 'Restart', 'RestartSec', 'RestartPreventExitStatus'],
  ...['User', 'SupplementaryGroups', 'StateDirectory', 'StateDirectoryMode', 'UMask', 'Environment', 'EnvironmentFile'],
  ...['KillMode', 'OOMPolicy', 'TasksMax', 'LimitNOFILE'],
  ...['NoNewPrivileges', 'PrivateTmp', 'PrivateDevices', 'ProtectSystem', 'ProtectHome', 'ProtectClock'],
  ...['ProtectControlGroups', 'ProtectHostname', 'ProtectKernelLogs', 'ProtectKernelModules', 'ProtectKernelTunables'],
  ...['RestrictAddressFamilies', 'RestrictNamespaces', 'RestrictRealtime', 'RestrictSUIDSGID', 'LockPersonality'],
  ...['SystemCallArchitectures', 'CapabilityBoundingSet', 'DevicePolicy', 'DeviceAllow'],
])
