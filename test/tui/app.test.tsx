import { setImmediate } from 'node:timers/promises'
import { render } from 'ink-testing-library'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { widthOf } from '../../src/cli/text-width.ts'
import { Failure } from '../../src/core/base/errors.ts'
import type { OperationSummary } from '../../src/core/contracts/shapes.ts'
import { App, Banner, Foot, Header, Help, Table } from '../../src/tui/app.tsx'
import { layOut, operationColumns } from '../../src/tui/columns.ts'
import { painter, unpainted } from '../../src/tui/paint.ts'
import { Session } from '../../src/tui/session.ts'
import { ids, webInstance, webSummary } from '../cli/stand-in.ts'
import { host, noon, operation, stillFeed } from './still.ts'

const settled = async (): Promise<void> => {
  for (let i = 0; i < 10; i++) await setImmediate()
}
const manyAre = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    ...webSummary,
    id: `${String(i).padStart(8, '0')}-1111-4111-8111-111111111111`,
    name: `vm-${i}`,
  }))

let close: () => unknown = () => undefined
afterEach(() => close())

/** The whole screen, with keys; `feed` says what the conductor answers. */
async function open(answers: Parameters<typeof stillFeed>[0] = {}, size = { columns: 80, rows: 24 }) {
  const still = await stillFeed(answers)
  let draw = (): void => undefined
  let quit = false
  const session = new Session(
    still.feed,
    () => draw(),
    () => {
      quit = true
    },
  )
  await settled()
  const screen = render(
    <App
      session={session}
      frames={(fn) => {
        draw = fn
        return () => undefined
      }}
      size={() => size}
      paint={unpainted}
    />,
  )
  still.feed.onChange(() => draw())
  close = async () => {
    screen.unmount()
    session.close()
    await still.feed.close()
  }
  await settled()
  return {
    ...still,
    session,
    size,
    frame: () => screen.lastFrame() ?? '',
    ended: () => quit,
    async press(...keys: string[]) {
      for (const key of keys) {
        screen.stdin.write(key)
        await settled()
      }
      return screen.lastFrame() ?? ''
    },
  }
}
const enter = '\r'
const esc = '\u001b'
const down = '\u001b[B'
const pageDown = '\u001b[6~'

describe('the screen', () => {
  test('to whom no hosts are shown none are said to be missing', async () => {
    const service = { id: 'compute@host1', binary: 'compute', host: 'host1', version: '0.1.0', status: 'enabled' }
    const { frame } = await open({
      status: () => ({
        version: '0.1.0',
        database: { dialect: 'sqlite', version: '3.50', migration: '0007' },
        services: [{ ...service, state: 'up', seenAt: noon, startedAt: 0 }],
        instances: {},
        operations: {},
        hosts: { up: 1, down: 0, disabled: 0 },
      }),
      hostList: () => ({ hosts: [] }),
    })
    expect(frame()).toMatch(/hosts +visible to administrators/)
    expect(frame()).not.toContain('No host has reported')
  })

  test('a host that sends heartbeats but fails its self-pings is degraded, and the page says what to do', async () => {
    const service = { id: 'compute@host1', binary: 'compute', host: 'host1', version: '0.1.0', status: 'enabled' }
    const unresponsive = {
      ...service,
      state: 'up',
      unresponsive: true,
      seenAt: noon,
      startedAt: 0,
      lastPongAt: noon - 40_000,
    }
    const status = {
      version: '0.1.0',
      database: { dialect: 'sqlite', version: '3.50', migration: '0007' },
      services: [unresponsive],
      instances: { ACTIVE: 1 },
      operations: {},
      hosts: { up: 0, degraded: 1, down: 0, disabled: 0 },
    }
    const { frame } = await open({
      status: () => status,
      hostList: () => ({ hosts: [host('host1', { unresponsive: true })] }),
    })
    expect(frame()).toContain('0 up, 1 degraded, 0 down')
    expect(frame()).toMatch(/host1 +degraded/)
    expect(frame()).toContain('compute@host1 is degraded')
    expect(frame()).toContain('compute 0/1')
  })

  test('begins with the overview, and 2 shows the instances', async () => {
    const { frame, press } = await open()
    expect(frame()).toContain('instances   1 in total, 1 ACTIVE')
    expect(frame()).toMatch(/host1 +up +\[\|+ +25%\]/)
    expect(await press('2')).toMatch(/> +web +ACTIVE +- +host1 +m1\.nano/)
  })
  test('an event shows without a question', async () => {
    const { frame, press, describe, asked } = await open()
    await press('2')
    const before = asked.length
    const about = { instanceId: ids.web, instanceName: 'web', operationId: ids.pause }
    describe({ ...about, type: 'instance.pause.start', operation: { kind: 'pause', state: 'queued', attempt: 0 } })
    await settled()
    expect(frame()).toMatch(/web +ACTIVE +pausing/)
    expect(asked.length).toBe(before)
  })
  test('keys move, / filters, Esc takes the filter back', async () => {
    const { press } = await open({ instanceList: () => ({ instances: manyAre(50) }) })
    expect(await press('2', 'j', 'j', down)).toMatch(/> +vm-3 /)
    expect(await press(pageDown)).toMatch(/> +vm-22 /)
    expect(await press('G')).toMatch(/> +vm-49 /)
    expect(await press('/', '4', '9', enter)).toContain('instances 1-1 of 1, filter "49"')
    expect(await press(esc)).toContain('of 50')
  })
  test('letters that are typed faster than they are read are keys one by one', async () => {
    const { press } = await open({ instanceList: () => ({ instances: manyAre(50) }) })
    expect(await press('2jjj')).toMatch(/> +vm-3 /)
    expect(await press('/vm-7\r')).toContain('filter "vm-7"')
  })
  test(': goes to a view by the beginning of its name, and tells what it does not know', async () => {
    const { press, ended } = await open()
    expect(await press(':', 'ho', enter)).toContain('hosts 1-1 of 1')
    expect(await press(':', 'nowhere', enter)).toContain('There is no view "nowhere".')
    await press(':', 'q', enter)
    expect(ended()).toBe(true)
  })
  test('p is the pause of its command, and the end is told', async () => {
    const begun = { operation: ids.pause, instance: { id: ids.web, name: 'web' } }
    const { press, asked, describe, frame } = await open({ begin: () => begun })
    expect(await press('2', 'p')).toContain('web: pausing')
    expect(asked.find(({ method }) => method === 'begin')?.args).toMatchObject({ instance: ids.web, kind: 'pause' })
    const about = { instanceId: ids.web, instanceName: 'web', operationId: ids.pause }
    const operation = { kind: 'pause', state: 'succeeded', attempt: 1 } as const
    describe({ ...about, type: 'instance.pause.end', status: 'PAUSED', operation })
    await settled()
    expect(frame()).toContain('web: PAUSED')
    await press('p')
    expect(asked.filter(({ method }) => method === 'begin').at(-1)?.args).toMatchObject({ kind: 'unpause' })
  })
  test('what the conductor refuses stands in the status line, with what to do', async () => {
    const { press } = await open({
      begin: () => {
        throw new Failure('InstanceBusy', { name: 'web', task: 'pausing', operation: ids.pause })
      },
    })
    const screen = await press('2', 'r')
    expect(screen).toContain('web')
    expect(screen).toContain('pausing')
    expect(screen).toMatch(/nova operation/)
  })
  test('nothing is deleted without a yes, and several at once with one', async () => {
    const begin = () => ({ operation: ids.boot, instance: { id: ids.web, name: 'vm' } })
    const { press, pass, asked } = await open({ instanceList: () => ({ instances: manyAre(5) }), begin })
    const deletes = () => asked.filter(({ method }) => method === 'begin').map(({ args }) => args.kind)
    expect(await press('2', 'd')).toContain('Delete vm-0, with its disk? y/n')
    pass(1_000)
    expect(await press('n')).toContain('Nothing was changed.')
    expect(deletes()).toEqual([])
    expect(await press(' ', ' ', 'd')).toContain('Delete 2 instances, with their disks? y/n')
    pass(1_000)
    await press('y')
    expect(deletes()).toEqual(['delete', 'delete'])
  })
  test('pasted text is no order: not with the marks of the terminal, in pieces too, and not without', async () => {
    const begin = () => ({ operation: ids.boot, instance: { id: ids.web, name: 'vm' } })
    const { press, pass, asked, frame } = await open({ begin })
    const orders = () => asked.filter(({ method }) => method === 'begin')
    await press('2')
    expect(await press('\u001b[200~ready\u001b[201~')).toContain('Pasted text was not heeded.')
    await press('\u001b[200~post', 'gres', '\u001b[201~')
    for (const word of ['ready', 'staging', 'jumphost-stop', 'postgres', 'dy']) {
      await press(word)
      pass(1_000)
    }
    expect(orders()).toEqual([])
    expect(frame()).not.toContain('y/n')
    // An answer that comes with the question, or sooner than anybody reads, is none.
    await press('d', 'y', 'yy')
    expect(frame()).toContain('Delete web, with its disk? y/n')
    pass(1_000)
    await press('yy')
    expect(orders()).toEqual([])
    await press('y')
    expect(orders()).toMatchObject([{ args: { kind: 'delete' } }])
  })
  test('text is pasted into the line of a filter, as one line', async () => {
    const { press } = await open({ instanceList: () => ({ instances: manyAre(5) }) })
    await press('2', '/')
    expect(await press('\u001b[200~vm-\r\u001b[201~')).toContain('instances 1-5 of 5, filter "vm- "')
    expect(await press('\u007f', '3')).toContain('instances 1-1 of 1')
  })
  test('x cancels an operation and r does one again', async () => {
    const failed = operation({ state: 'failed' })
    const { press, asked } = await open({
      operationList: () => ({ operations: [failed] }),
      operationCancel: () => ({ ...failed, state: 'cancelled' }),
      operationRetry: () => ({ operation: ids.boot, instance: { id: ids.web, name: 'web' } }),
    })
    expect(await press('4', 'x')).toContain('boot of web: cancelled')
    expect(await press('r')).toContain('boot of web: started again')
    expect(asked.map(({ method }) => method)).toEqual(expect.arrayContaining(['operationCancel', 'operationRetry']))
  })
  test('Enter shows an instance with its steps and its console, Esc leaves it', async () => {
    const steps = ['image', 'disk', 'start'].map((name, i) => ({ name, at: noon - 60_000 + i * 300, attempt: 1 }))
    const { press } = await open({
      instanceShow: () => ({ ...webInstance, fault: undefined }),
      operationShow: () => ({
        ...operation(),
        steps,
        deadline: noon,
        cancelRequested: false,
        userId: 'a',
        projectId: 'b',
      }),
      consoleLog: () => ({ text: 'Linux version 6\n\u001b[31mlogin:\u001b[0m\n' }),
    })
    await press('2', enter)
    const screen = await press('')
    expect(screen).toMatch(/state +ACTIVE +power RUNNING/)
    expect(screen).toContain('image 300ms, disk 300ms, start 400ms')
    expect(screen).toMatch(/CONSOLE\nLinux version 6\nlogin:/)
    expect(await press('c')).toMatch(/^.*\nCONSOLE\nLinux/)
    expect(await press(esc, esc)).toContain('instances 1-1 of 1')
  })
  const migrating = operation({ kind: 'migrate', state: 'running', step: 'send', host: 'host1' })
  const progress = { what: 'disk', doneBytes: 541_165_879, totalBytes: 1_288_490_188 }
  const about = { id: 0, instanceId: ids.web, instanceName: 'web', operationId: migrating.id, host: 'host1' }
  const running = { kind: 'migrate', state: 'running', attempt: 1 } as const
  const leg = { host: 'host1', role: 'source', state: 'running', step: 'send' }
  const inFull = {
    ...migrating,
    steps: [{ name: 'send', at: noon - 1_000, attempt: 1, host: 'host1' }],
    hosts: [leg, { host: 'host2', role: 'target', state: 'running', step: 'receive' }],
    deadline: noon,
    cancelRequested: false,
    userId: 'a',
    projectId: 'b',
  }

  test('progress and undoing show in the table of operations without a question', async () => {
    const { press, describe, frame, asked } = await open({ operationList: () => ({ operations: [migrating] }) })
    await press('4')
    const before = asked.length
    describe({ ...about, type: 'operation.progress', operation: { ...running, progress } })
    await settled()
    expect(frame()).toMatch(/migrate +web +running +send 42 % +host1/)
    describe({ ...about, type: 'operation.step', operation: { ...running, step: 'stop', undoing: true } })
    await settled()
    expect(frame()).toMatch(/migrate +web +running +undoing: stop +host1/)
    expect(asked.length).toBe(before)
  })
  test('a wide table of operations has a column for progress', () => {
    const wide = layOut(operationColumns, 128)
    const draw = (row: OperationSummary) =>
      wide.map(({ draw, is }) => draw(row, is, { now: noon, paint: unpainted })).join(' ')
    expect(draw({ ...migrating, progress })).toMatch(/send 42 % +disk 42 % of 1\.2 GiB +host1/)
    expect(draw(migrating)).toMatch(/send +- +host1/)
  })
  test('an open operation shows its hosts, its progress, and what it is undoing', async () => {
    let answer: object = { ...inFull, progress }
    const { press, describe, frame, asked } = await open({
      operationList: () => ({ operations: [migrating] }),
      operationShow: () => answer,
    })
    await press('4', enter)
    const screen = await press('')
    expect(screen).toMatch(/state +running, disk 42 % of 1\.2 GiB/)
    expect(screen).toMatch(/HOSTS\n +host1 +source +running +send\n +host2 +target +running +receive/)
    const before = asked.length
    describe({
      ...about,
      type: 'operation.progress',
      operation: { ...running, progress: { ...progress, doneBytes: 0 } },
    })
    await settled()
    expect(frame()).toMatch(/state +running, disk 0 % of 1\.2 GiB/)
    expect(asked.length).toBe(before)
    answer = { ...inFull, undoing: true, step: 'stop' }
    describe({ ...about, type: 'operation.step', operation: { ...running, step: 'stop', undoing: true } })
    await settled()
    expect(frame()).toMatch(/state +running, undoing: stop/)
    expect(frame()).toMatch(/host1 +source +undo-running +stop/)
    expect(frame()).toMatch(/undo stop +\d+ms +host1/)
  })
  test('an instance shows how far its open operation is, and on which other host', async () => {
    const { press } = await open({
      instanceShow: () => ({ ...webInstance, fault: undefined }),
      operationList: () => ({ operations: [migrating] }),
      operationShow: () => ({ ...inFull, progress }),
      consoleLog: () => ({ text: 'login:' }),
    })
    await press('2', enter)
    const screen = await press('')
    expect(screen).toMatch(/host +host1 \(target host2\) +flavor/)
    expect(screen).toMatch(/migrate +running +disk 42 % of 1\.2 GiB +send/)
  })
  test('m migrates after a yes', async () => {
    const begin = () => ({ operation: migrating.id, instance: { id: ids.web, name: 'web' } })
    const { press, pass, asked } = await open({ begin })
    expect(await press('2', 'm')).toContain('Migrate web to another host, shut down meanwhile? y/n')
    expect(asked.some(({ method }) => method === 'begin')).toBe(false)
    pass(1_000)
    await press('y')
    expect(asked.find(({ method }) => method === 'begin')?.args).toMatchObject({ instance: ids.web, kind: 'migrate' })
  })
  test('a lost bus is said with the age of what is seen, and all is asked for anew when it is back', async () => {
    const { frame, link, asked } = await open()
    link(false)
    await settled()
    expect(frame()).toMatch(/! The bus connection is lost; this data is 0s old/)
    const before = asked.length
    link(true)
    await settled()
    expect(frame()).toContain('! The bus connection is back')
    const since = () => asked.slice(before).map(({ method }) => method)
    await vi.waitFor(() => expect(since()).toContain('instanceList'), 3_000)
    await vi.waitFor(() => expect(frame()).not.toContain('The bus'))
  })
  test('every line fits, however narrow the terminal and however wide the letters', async () => {
    const name = '名前の長い仮想マシン👩‍👩‍👧‍👦\u0007'.repeat(8)
    const instances = [{ ...webSummary, name, host: 'h'.repeat(200) }]
    for (const columns of [40, 79, 80, 100]) {
      const { press } = await open(
        { instanceList: () => ({ instances }), hostList: () => ({ hosts: [host('h'.repeat(200))] }) },
        { columns, rows: 24 },
      )
      for (const view of '12345?') {
        const lines = (await press(view)).split('\n')
        expect(lines.filter((line) => widthOf(line) > columns)).toEqual([])
        expect(lines.length).toBeLessThanOrEqual(24)
      }
      await close()
    }
  })
  test('only what is seen is drawn: 10,000 rows are 21', async () => {
    const { press } = await open({ instanceList: ({ marker }) => ({ instances: marker ? [] : manyAre(10_000) }) })
    expect((await press('2')).match(/vm-\d+/g)).toHaveLength(19)
  })
})

describe('the parts of the screen', () => {
  const look = { width: 80, height: 20, now: noon, paint: unpainted }
  let session: Session
  beforeEach(async () => {
    const { feed } = await stillFeed()
    session = new Session(
      feed,
      () => undefined,
      () => undefined,
    )
    await settled()
    close = () => feed.close()
  })
  const text = (part: React.ReactElement) => render(part).lastFrame() ?? ''

  test('the heading names the views', () => {
    expect(text(<Header session={session} look={look} />)).toContain('1 overview  2 instances  3 hosts')
  })
  test('no banner where nothing is lost', () => {
    expect(text(<Banner session={session} look={look} />)).toBe('')
  })
  test('the foot tells which keys there are', () => {
    expect(text(<Foot session={session} look={look} />)).toContain('q quit')
  })
  test('help tells every key', () => {
    expect(text(<Help look={look} />)).toContain('pause or unpause')
  })
  test('a table says its state as a word, with and without colours', () => {
    const colours = { ...look, paint: painter(true) }
    expect(text(<Table name="hosts" session={session} look={look} />)).toMatch(/host1 +up +enabled/)
    expect(text(<Table name="hosts" session={session} look={colours} />)).toContain('up')
  })
})
