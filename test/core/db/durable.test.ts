import { execFile } from 'node:child_process'
import { copyFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { openDatabase } from '../../../src/core/db/open.ts'
import { missing } from '../../kit/missing.ts'

const run = promisify(execFile)
const writer = resolve(import.meta.dirname, '../../kit/durable-writer.ts')
const traced = await run('strace', ['-e', 'trace=none', 'true']).then(
  () => true,
  (e) => missing('strace', String(e.message).split('\n')[0] as string),
)

/** The log: a header, then frames of a header and a page each. */
const frame = { first: 32, bytes: 24 + 4096 }

/** What a power cut just then would have left of the log, for each thing told. */
function syncedWhenTold(trace: string): Array<{ what: string; synced: number }> {
  const told: Array<{ what: string; synced: number }> = []
  let [written, synced] = [0, 0]
  for (const line of trace.split('\n')) {
    const write = /pwrite64\(\d+<[^>]*-wal>.*, (\d+), (\d+)\) += \d/.exec(line)
    if (write) written = Math.max(written, Number(write[1]) + Number(write[2]))
    if (/f(data)?sync\(\d+<[^>]*-wal>\) += 0/.test(line)) synced = written
    const what = /write\(1<.*"told (\S+)\\n"/.exec(line)
    if (what) told.push({ what: what[1] as string, synced })
  }
  return told
}

describe.runIf(traced)('when the power fails', () => {
  let dir: string
  let told: Array<{ what: string; synced: number }>
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'nova-durable-'))
    const out = join(dir, 'trace')
    const calls = ['-f', '-y', '-s', '64', '-e', 'trace=pwrite64,fsync,fdatasync,write', '-e', 'signal=none', '-o', out]
    await run('strace', [...calls, process.execPath, '--import', 'tsx', writer, join(dir, 'nova.sqlite')])
    told = syncedWhenTold(await readFile(out, 'utf8'))
  }, 60_000)
  afterAll(() => rm(dir, { recursive: true, force: true }))

  test('all that anybody was told is in the part of the log that was on the disk, wherever the rest is cut', async () => {
    const log = await readFile(join(dir, 'nova.sqlite-wal'))
    const projects = async (bytes: number): Promise<Set<string>> => {
      // A file of its own each time: SQLite shares what it knows of a file among all who have it open.
      const cut = join(dir, `cut-${bytes}.sqlite`)
      await copyFile(join(dir, 'nova.sqlite'), cut)
      await writeFile(`${cut}-wal`, log.subarray(0, bytes))
      const db = await openDatabase(`sqlite:${cut}`, { log: silentLog, clock: systemClock })
      try {
        return new Set((await db.selectFrom('projects').select('id').execute()).map(({ id }) => id))
      } finally {
        await db.destroy()
      }
    }
    const least = Math.min(...told.map(({ synced }) => synced))
    expect([told.length > 80, least > 0]).toEqual([true, true])
    for (let bytes = frame.first; bytes <= log.length; bytes += frame.bytes) {
      if (bytes < least) continue
      const there = await projects(bytes)
      const lost = told.filter(({ what, synced }) => synced <= bytes && !there.has(what))
      expect(lost, `cut at ${bytes} of ${log.length} bytes`).toEqual([])
      expect([...there].filter((id) => id.endsWith('-no'))).toEqual([])
    }
  })

  test('many that wait at once share a write to the disk', () => {
    const writes = new Set(told.map(({ synced }) => synced)).size
    expect(writes).toBeLessThan(told.length / 3)
  })
})
