import { renderRows } from '../src/cli/output.ts'
import { instanceRows } from '../src/cli/views.ts'
import { systemIds } from '../src/core/base/ids.ts'

/**
 * CPU time of `nova list` as a table compared with JSON of the same rows, and how it grows: ten times the rows should take
 * ten times as long. `npx tsx bench/table.ts`.
 */
const most = 10_000
const rows = Array.from({ length: most }, (_, i) =>
  instanceRows.row({
    id: systemIds.uuid(),
    name: `web-${i}`,
    status: 'ACTIVE',
    power: 'RUNNING',
    host: `host${i % 100}`,
    flavor: 'm1.nano',
    image: 'tiny',
    projectId: 'default',
    createdAt: 1_738_324_800_000,
  }),
)

async function cpuMs(count: number, format: 'table' | 'json', width: number | undefined): Promise<number> {
  const some = rows.slice(0, count)
  const before = process.cpuUsage()
  await renderRows(some, instanceRows, { format, columns: [], isTerminal: true, width, color: false })
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

await cpuMs(100, 'table', 80)
const json = await cpuMs(most, 'json', undefined)
console.log(`json, ${most} rows: ${json.toFixed(0)} ms`)
for (const width of [undefined, 120, 80, 50]) {
  const tenth = await cpuMs(most / 10, 'table', width)
  const all = await cpuMs(most, 'table', width)
  console.log(
    `table, width ${width ?? 'any'}: ${all.toFixed(0)} ms (${(all / json).toFixed(1)} x json; ${(all / tenth).toFixed(1)} x a tenth of the rows)`,
  )
}
