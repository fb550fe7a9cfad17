import { readFileSync } from 'node:fs'
import { loadavg } from 'node:os'
import { resolve } from 'node:path'
import { parseArgs } from 'node:util'
import type { Published } from '../src/core/contracts/shapes.ts'
import { eventKey } from '../src/core/model/event.ts'
import type { Bus } from '../src/core/rpc/bus.ts'
import { admin, Cloud } from '../test/kit/cloud.ts'
import { Tmux } from '../test/kit/tmux.ts'

/**
 * The cost of the dashboard in a terminal of 160 × 50 for a large cloud: CPU time when idle and under events at a rate,
 * memory from beginning to end, and how soon a change shows. The events are those of pauses, as a conductor publishes
 * them. `npx tsx bench/dashboard.ts [--hosts N] [--instances N] [--rate N] [--minutes N] [--view 1..5]`.
 */
const { values } = parseArgs({
  options: {
    hosts: { type: 'string', default: '1000' },
    instances: { type: 'string', default: '10000' },
    rate: { type: 'string', default: '100' },
    minutes: { type: 'string', default: '1' },
    view: { type: 'string', default: '2' },
  },
})
const [hosts, instances, rate, minutes] = [values.hosts, values.instances, values.rate, values.minutes].map(Number) as [
  number,
  number,
  number,
  number,
]
const program = resolve(import.meta.dirname, '../bin/run.js')
const idleMs = 30_000
const ticksPerSecond = 100
const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms))

/** CPU seconds of a process, user and system. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}
const memoryMb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024

/** The share of a core that a process uses while something runs. */
async function share(pid: number, work: () => Promise<unknown>): Promise<number> {
  const [from, cpu] = [performance.now(), cpuSeconds(pid)]
  await work()
  return (cpuSeconds(pid) - cpu) / ((performance.now() - from) / 1000)
}

/**
 * Milliseconds from an event's arrival here until the screen shows it, for a number of events; looking takes some time,
 * too.
 */
async function untilShown(tmux: Tmux, bus: Bus, { name }: { name: string }): Promise<number[]> {
  await tmux.keys('2', '/', ...name, 'Enter')
  await tmux.until(new RegExp(`with "${name}"`))
  const took: number[] = []
  const api = await cloud.conductor()
  for (let i = 0; i < 20; i++) {
    const kind = i % 2 === 0 ? 'pause' : 'unpause'
    let heard = (_at: number): void => undefined
    const event = new Promise<number>((resolve) => {
      heard = resolve
    })
    const off = await bus.subscribe([`instance.${kind}.end.#`], () => heard(performance.now()))
    await api.begin(admin(), { instance: name, kind })
    await tmux.until(new RegExp(`${name} +${kind === 'pause' ? 'PAUSED' : 'ACTIVE'} +-`))
    const at = performance.now()
    took.push(Math.max(0, at - (await event)))
    await off()
  }
  await tmux.keys('Escape', values.view)
  return took.sort((a, b) => a - b)
}

const cloud = await Cloud.open('embedded', { NOVA_LOG_LEVEL: 'warn', NOVA_COMPUTE_HOST: 'host' })
let tmux: Tmux | undefined
try {
  await cloud.up('--driver', 'fake', '--hosts', String(hosts))
  const [bus, api] = [await cloud.bus(), await cloud.conductor()]
  for (let left = instances, n = 0; left > 0; left -= 500, n++)
    await api.boot(admin(), { name: `vm-${n}`, count: Math.min(500, left) }, { timeoutMs: 300_000 })
  for (;;) {
    const { instances: states } = await api.status(admin(), {})
    if ((states.ACTIVE ?? 0) + (states.ERROR ?? 0) >= instances) break
    await sleep(500)
  }
  const { instances: rows } = await api.instanceList(admin(), { limit: Math.min(instances, 1000) })

  const from = performance.now()
  tmux = await Tmux.open(`exec ${process.execPath} ${program} dashboard`, { env: cloud.env, columns: 160, rows: 50 })
  await tmux.until(/instances +\d+ in all/, 120_000)
  const startMs = performance.now() - from
  await tmux.keys(values.view)
  const pid = Number(await tmux.fact('pane_pid'))
  await sleep(5_000)
  const idle = await share(pid, () => sleep(idleMs))
  const shown = await untilShown(tmux, bus, rows[0]!)

  let sent = 0
  const memory = [memoryMb(pid)]
  const send = (at: number): void => {
    const { id, name, host } = rows[Math.floor(sent / 3) % rows.length]!
    const operationId = `00000000-0000-4000-8000-${String(Math.floor(sent / 3)).padStart(12, '0')}`
    const state = (['queued', 'running', 'succeeded'] as const)[sent % 3]!
    const event: Published = {
      id: state === 'running' ? 0 : 1_000_000_000 + sent,
      at,
      type: { queued: 'instance.pause.start', running: 'operation.step', succeeded: 'instance.pause.end' }[state],
      ...{ instanceId: id, instanceName: name, operationId, requestId: 'req-bench', projectId: 'default' },
      ...(host === undefined ? {} : { host }),
      operation: { kind: 'pause', state, step: 'pause', attempt: 1 },
      ...(state === 'succeeded' ? { status: 'PAUSED' as const } : {}),
    }
    sent++
    void bus.publish(eventKey(event), event)
  }
  const busy = await share(pid, async () => {
    const begun = performance.now()
    const lasts = minutes * 60_000
    for (let said = begun; performance.now() - begun < lasts; ) {
      while (sent < ((performance.now() - begun) / 1000) * rate) send(Date.now())
      await sleep(10)
      if (performance.now() - said > Math.min(60_000, lasts / 4)) {
        said = performance.now()
        memory.push(memoryMb(pid))
      }
    }
  })
  memory.push(memoryMb(pid))
  const percent = (of: number) => `${(of * 100).toFixed(1)} %`
  console.log(
    [
      `${hosts} hosts, ${instances} instances, view ${values.view}, 160 x 50; load of the machine ${loadavg()[0]?.toFixed(1)}`,
      `first screen after ${startMs.toFixed(0)} ms`,
      `a change shows ${shown[10]?.toFixed(0)} ms after its event (p50), at most ${shown.at(-1)?.toFixed(0)} ms`,
      `CPU while nothing happens: ${percent(idle)} of a core`,
      `CPU at ${rate} events/s: ${percent(busy)} of a core (${sent} events in ${minutes} min)`,
      `memory, MiB: ${memory.map((mb) => mb.toFixed(0)).join(' ')}`,
    ].join('\n'),
  )
} finally {
  await tmux?.close()
  await cloud.close()
}
