import { parseArgs } from 'node:util'
import { admin, type Backend, backends, Cloud } from '../test/kit/cloud.ts'

/**
 * Boots on the fake driver, from the request to the event that reports ACTIVE: the time of a single boot, and boots per
 * second with 32 in flight. `npx tsx bench/boots.ts [--boots N] [--hosts N] [--json]`.
 */
const { values } = parseArgs({
  options: {
    boots: { type: 'string', default: '1000' },
    hosts: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
  },
})
const boots = Number(values.boots)
const alone = 100
const inFlight = 32

const now = () => performance.now()
const percentile = (sorted: number[], p: number) =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN

async function measure(backend: Backend) {
  const cloud = await Cloud.open(backend, { NOVA_LOG_LEVEL: 'warn' })
  try {
    await cloud.up('--driver', 'fake', '--hosts', values.hosts)
    const bus = await cloud.bus()
    const api = await cloud.conductor()
    const waiting = new Map<string, () => void>()
    const early = new Set<string>()
    await bus.subscribe(['instance.create.end.#'], ({ key }) => {
      const operation = key.split('.').at(-1) ?? ''
      const done = waiting.get(operation)
      if (done) done()
      else early.add(operation)
    })
    const boot = async (name: string): Promise<number> => {
      const from = now()
      const { begun } = await api.boot(admin(), { name })
      const operation = begun[0]?.operation ?? ''
      if (!early.delete(operation)) await new Promise<void>((resolve) => waiting.set(operation, resolve))
      waiting.delete(operation)
      return now() - from
    }

    for (let i = 0; i < 20; i++) await boot(`warm-${i}`)
    const single: number[] = []
    for (let i = 0; i < alone; i++) single.push(await boot(`alone-${i}`))
    single.sort((a, b) => a - b)

    let next = 0
    const from = now()
    await Promise.all(
      Array.from({ length: inFlight }, async () => {
        while (next < boots) await boot(`many-${next++}`)
      }),
    )
    const seconds = (now() - from) / 1000
    return { backend, p50Ms: percentile(single, 0.5), p99Ms: percentile(single, 0.99), bootsPerSecond: boots / seconds }
  } finally {
    await cloud.close()
  }
}

const results = []
for (const backend of await backends()) results.push(await measure(backend))
if (values.json) console.log(JSON.stringify(results))
else
  for (const row of results)
    console.log(
      `${row.backend}: ${row.bootsPerSecond.toFixed(0)} boots/s with ${inFlight} in flight; one alone p50 ${row.p50Ms.toFixed(1)} ms, p99 ${row.p99Ms.toFixed(1)} ms`,
    )
