import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/base/clock.ts'
import { answerAfterMs } from '../../src/tui/session.ts'
import { admin, Cloud, type Daemon } from '../kit/cloud.ts'
import { hasTmux, Tmux } from '../kit/tmux.ts'

const root = resolve(import.meta.dirname, '../..')
const nova = `${process.execPath} ${join(root, 'bin', 'run.js')}`
/** What stays on the screen when it has ended, and whether its keyboard works as before. */
const after = 'code=$?; echo; echo "ended with $code"; stty -a | grep -o -- "-\\?icanon"; exec sleep 1000'

if (hasTmux()) {
  describe('the dashboard in a terminal', () => {
    let cloud: Cloud
    let terminal: Tmux | undefined
    beforeAll(async () => {
      cloud = await Cloud.open('embedded', { NOVA_COMPUTE_HOST: 'host', NOVA_LOG_LEVEL: 'warn' })
      await cloud.up('--driver', 'fake', '--hosts', '3')
    }, 60_000)
    afterEach(async () => {
      await terminal?.close()
      const api = await cloud.conductor()
      const { instances } = await api.instanceList(admin(), {})
      if (instances.length > 0) await cloud.nova('delete', ...instances.map(({ id }) => id), '--wait')
    })
    afterAll(() => cloud?.close(), 60_000)

    const open = async (
      size: { columns?: number; rows?: number; env?: Record<string, string> } = {},
    ): Promise<Tmux> => {
      terminal = await Tmux.open(`${nova} dashboard; ${after}`, { ...size, env: { ...cloud.env, ...size.env } })
      await terminal.until(/hosts +3 up/)
      return terminal
    }
    const boot = async (...names: string[]): Promise<void> => {
      const api = await cloud.conductor()
      for (const name of names) await api.boot(admin(), { name })
    }
    const states = async (): Promise<Record<string, string>> => {
      const { instances } = await (await cloud.conductor()).instanceList(admin(), {})
      return Object.fromEntries(instances.map(({ name, status }) => [name, status]))
    }

    test('an instance appears, is paused by a key, and is deleted by one after a yes', async () => {
      const tmux = await open()
      await tmux.keys('2')
      await tmux.until(/instances 0/)
      await boot('web')
      await tmux.until(/> +web +ACTIVE +- +host-\d/)
      await tmux.keys('p')
      await tmux.until(/web +PAUSED[\s\S]*web: PAUSED/)
      expect(await states()).toEqual({ web: 'PAUSED' })
      await tmux.keys('p')
      await tmux.until(/web +ACTIVE[\s\S]*web: ACTIVE/)
      await tmux.keys('s')
      await tmux.until(/web +SHUTOFF/)
      await tmux.keys('d')
      await tmux.until(/Delete web, with its disk\? y\/n/)
      // Sooner, no key is taken for an answer.
      await systemClock.sleep(answerAfterMs)
      await tmux.keys('y')
      await tmux.until(/instances 0[\s\S]*web: deleted/)
      expect(await states()).toEqual({})
    })

    test('filter, views and detail', async () => {
      // A filter searches ids, too: the name of the wanted one must not be possible inside an id.
      await boot('web', 'sql', 'cache')
      const tmux = await open()
      await tmux.keys('2')
      await tmux.until(/instances 1-3 of 3/)
      await tmux.keys('/', 's', 'q', 'l', 'Enter')
      await tmux.until(/instances 1-1 of 1, filter "sql"\s[\s\S]*> +sql/)
      await tmux.keys('Enter')
      await tmux.until(/state +ACTIVE[\s\S]*boot +succeeded place \d+ms, image[\s\S]*CONSOLE[\s\S]*GUEST-READY/)
      await tmux.keys('Escape')
      await tmux.until(/filter "sql"/)
      await tmux.keys('Escape')
      await tmux.until(/instances 1-3 of 3\s/)
      await tmux.keys(':', 'op', 'Enter')
      await tmux.until(/operations 1-\d+ of \d+[\s\S]*boot +cache +succeeded/)
      await tmux.keys('Enter')
      await tmux.until(/operation +boot of cache[\s\S]*STEPS\n +\S+ place/)
      await tmux.keys('5')
      await tmux.until(/instance\.create\.end +cache/)
      await tmux.keys('3')
      await tmux.until(/> +host-1 +up +enabled/)
      await tmux.keys('Enter')
      await tmux.until(/instances 1-\d of \d, filter "host-1"/)
      await tmux.keys('?')
      await tmux.until(/delete, after a question/)
    })

    test('text from the clipboard is no order', async () => {
      await boot('web')
      const tmux = await open()
      await tmux.keys('2')
      await tmux.until(/> +web +ACTIVE/)
      for (const word of ['ready', 'staging', 'postgres']) {
        await tmux.paste(word)
        await tmux.until(/Pasted text was not heeded/)
        await tmux.keys('Escape')
        await tmux.until((screen) => !/Pasted text/.test(screen))
      }
      expect(await states()).toEqual({ web: 'ACTIVE' })
      const { operations } = await (await cloud.conductor()).operationList(admin(), { instance: 'web' })
      expect(operations.map(({ kind }) => kind)).toEqual(['boot'])
    })

    test('Ctrl-Z gives the shell back, and fg the dashboard', async () => {
      terminal = await Tmux.open('bash --norc --noprofile -i', { env: { ...cloud.env, PS1: 'shell$ ' } })
      const tmux = terminal
      await tmux.until(/shell\$/)
      await tmux.keys(`${nova} dashboard`, 'Enter')
      await tmux.until(/hosts +3 up/)
      await tmux.keys('C-z')
      await tmux.until(/Stopped[\s\S]*shell\$/)
      expect(await tmux.fact('alternate_on')).toBe('0')
      await tmux.keys('echo typed', 'Enter')
      await tmux.until(/\ntyped/)
      await tmux.keys('fg', 'Enter')
      await tmux.until(/hosts +3 up/)
      await tmux.keys('2')
      await tmux.until(/instances 0/)
      await tmux.keys('q')
      await tmux.until(/fg[\s\S]*shell\$ *$/m)
    })

    test('a terminal that cannot draw is told what to do', async () => {
      terminal = await Tmux.open(`TERM=dumb ${nova} dashboard; ${after}`, { env: cloud.env })
      expect(await terminal.until(/ended with 2/)).toMatch(/TERM is dumb[\s\S]*nova dashboard --once/)
    })

    test('several are selected with space', async () => {
      await boot('one', 'two', 'three')
      const tmux = await open()
      await tmux.keys('2')
      await tmux.until((screen) => (screen.match(/ACTIVE/g) ?? []).length === 3)
      await tmux.keys('Space', 'Space')
      await tmux.until(/, 2 selected[\s\S]*\* ?three[\s\S]*\* ?two/)
      await tmux.keys('p')
      await tmux.until(/2 of 2: PAUSED/)
      expect(await states()).toEqual({ one: 'ACTIVE', two: 'PAUSED', three: 'PAUSED' })
    })

    test('another size is drawn anew, and nothing of the old one stays', async () => {
      await boot('web')
      const tmux = await open({ columns: 160, rows: 50 })
      await tmux.keys('2')
      await tmux.until(/NAME.*IMAGE.*PROJECT.*ID[\s\S]*web +ACTIVE/)
      await tmux.resize(80, 24)
      const small = await tmux.until((screen) => /NAME +STATUS +TASK +HOST +FLAVOR +AGE/.test(screen))
      expect(small.split('\n').filter((line) => line.length > 80)).toEqual([])
      expect(small.match(/overview/g)).toHaveLength(1)
      await tmux.resize(120, 30)
      expect(await tmux.until(/NAME.*IMAGE/)).toMatch(/q quit|\? help/)
    })

    test('q, SIGTERM, SIGHUP and a bug give the terminal back as it was', async () => {
      const bug = join(cloud.stateDir, 'bug.cjs')
      writeFileSync(bug, "process.on('SIGUSR2', () => { throw new Error('a bug for a test') })")
      const ends = [
        [async (tmux: Tmux) => tmux.keys('q'), 0],
        [async (_tmux: Tmux, pid: number) => process.kill(pid, 'SIGUSR2'), 1],
        [async (_tmux: Tmux, pid: number) => process.kill(pid, 'SIGTERM'), 143],
        [async (_tmux: Tmux, pid: number) => process.kill(pid, 'SIGHUP'), 129],
        [async (tmux: Tmux) => tmux.keys('C-c'), 0],
      ] as const
      for (const [end, code] of ends) {
        const tmux = await open({ env: { NODE_OPTIONS: `--require ${bug}` } })
        expect([await tmux.fact('alternate_on'), await tmux.fact('cursor_flag')]).toEqual(['1', '0'])
        const shell = await tmux.fact('pane_pid')
        const pid = Number(readFileSync(`/proc/${shell}/task/${shell}/children`, 'utf8').trim().split(' ')[0])
        await end(tmux, pid)
        const left = await tmux.until(/ended with \d+\s+-?icanon/)
        expect(left).toContain(`ended with ${code}`)
        expect(left).not.toContain('-icanon')
        expect(left).not.toContain('overview')
        expect(left.includes('a bug for a test')).toBe(code === 1)
        expect([await tmux.fact('alternate_on'), await tmux.fact('cursor_flag')]).toEqual(['0', '1'])
        await tmux.close()
      }
    })

    test('without colours nothing is coloured, and no colour is needed to see the choice', async () => {
      await boot('web')
      const tmux = await open({ env: { NO_COLOR: '1' } })
      await tmux.keys('2')
      await tmux.until(/> +web +ACTIVE/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a colour begins so.
      expect(await tmux.screen(true)).not.toMatch(/\u001b\[[0-9;]*(3[0-7]|4[0-7]|9[0-7])m/)
    })
  })

  describe('the dashboard of a cloud that breaks', () => {
    let cloud: Cloud
    let terminal: Tmux | undefined
    beforeAll(async () => {
      cloud = await Cloud.open('embedded', { NOVA_COMPUTE_DRIVER: 'fake', NOVA_LOG_LEVEL: 'error' })
    })
    afterAll(async () => {
      await terminal?.close()
      await cloud?.close()
    }, 60_000)

    test('says that bus or conductor are lost and how old all is, and heals by itself', {
      timeout: 120_000,
    }, async () => {
      const names = ['broker', 'conductor', 'scheduler', 'compute'] as const
      const daemons = {} as Record<(typeof names)[number], Daemon>
      for (const name of names) daemons[name] = await cloud.daemon(name)
      const tmux = await Tmux.open(`${nova} dashboard; ${after}`, { env: cloud.env })
      terminal = tmux
      await tmux.until(/hosts +1 up/)

      await daemons.conductor.kill()
      await tmux.until(/! .*conductor.*this data is \d+s old/)
      daemons.conductor = await cloud.daemon('conductor')
      await tmux.until((screen) => !screen.includes('this data is'))

      await daemons.broker.kill()
      await tmux.until(/! The bus connection is lost; this data is \d+s old/)
      await tmux.until(/this data is [2-9]s old/)
      daemons.broker = await cloud.daemon('broker')
      await tmux.until(/hosts +1 up[\s\S]*No problems\./, 60_000)

      // It hears again what happens.
      await tmux.keys('2')
      await tmux.until(/instances 0/)
      const disk = join(cloud.stateDir, 'blank.raw')
      writeFileSync(disk, Buffer.alloc(4096))
      expect((await cloud.nova('image', 'create', 'blank', '--disk', disk, '--disk-format', 'raw')).stderr).toBe('')
      expect((await cloud.nova('boot', 'web', '--image', 'blank', '--wait')).code).toBe(0)
      await tmux.until(/> +web +ACTIVE/)
      expect(await tmux.fact('alternate_on')).toBe('1')
    })
  })
  describe('the screens of the dashboard', () => {
    let cloud: Cloud
    beforeAll(async () => {
      cloud = await Cloud.open('embedded', { NOVA_COMPUTE_HOST: 'host', NOVA_LOG_LEVEL: 'warn' })
      await cloud.up('--driver', 'fake', '--hosts', '3')
      // One after the other, so that they stand in this order.
      for (const name of ['web', 'a-very-long-name-that-does-not-fit-into-its-column', '名前の長い仮想マシン'])
        expect((await cloud.nova('boot', name, '--wait')).code).toBe(0)
    }, 60_000)
    afterAll(() => cloud?.close(), 60_000)

    test.each([
      ['80x24', { columns: 80, rows: 24 }],
      ['160x50', { columns: 160, rows: 50 }],
    ])('at %s are those that were agreed on', async (name, size) => {
      const tmux = await Tmux.open(`${nova} dashboard`, { ...size, env: cloud.env })
      try {
        // The last line is drawn last.
        const screens = [await tmux.until(/3 ACTIVE[\s\S]*No problems\.[\s\S]*1-5 view/)]
        for (const [key, wanted] of [
          ['2', /web +ACTIVE[\s\S]*c console/],
          ['3', /host-3 +up[\s\S]*Enter its instances/],
          ['4', /boot +web +succeeded[\s\S]*x cancel/],
          ['5', /instance\.create\.end +web[\s\S]*Enter its instance /],
          ['?', /INSTANCES[\s\S]*Any key/],
        ] as const) {
          await tmux.keys(key)
          screens.push(await tmux.until(wanted))
        }
        golden(`dashboard-${name}.txt`, screens.map(masked).join(`${'='.repeat(size.columns)}\n`))
      } finally {
        await tmux.close()
      }
    })
  })
} else
  test('the dashboard cannot be tried without tmux', () => expect(process.env.NOVA_REQUIRE ?? '').not.toContain('tmux'))

/** What is another each time: ids, times, ages, durations, which host, versions. Widths stay. */
const masked = (screen: string): string =>
  screen
    .replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => '<id>'.padEnd(id.length, '-'))
    .replaceAll(/\d\d:\d\d:\d\d/g, '<-time->')
    .replaceAll(/ +[\d.]+(ms|s|m)(?= |$)/gm, (age) => '<t>'.padStart(age.length))
    .replaceAll(/host-\d/g, 'host-#')
    .replaceAll(/nova [\d.]+, sqlite [\d.]+.*/g, 'nova <version>, sqlite <version>')

/** Compares with what is kept; NOVA_GOLDEN=write keeps it as it is now. */
function golden(name: string, text: string): void {
  const path = join(root, 'test', 'golden', name)
  if (process.env.NOVA_GOLDEN === 'write') writeFileSync(path, text)
  expect(text).toBe(readFileSync(path, 'utf8'))
}
