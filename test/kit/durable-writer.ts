import { writeSync } from 'node:fs'
import { systemClock } from '../../src/core/base/clock.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { syncDatabase } from '../../src/core/db/migrate.ts'
import { openDatabase } from '../../src/core/db/open.ts'
import { tx } from '../../src/core/db/tx.ts'

/** Writes projects into a new database, alone, in transactions and many at once, and says of each when it was told that it is there. */
const db = await openDatabase(`sqlite:${process.argv[2]}`, { log: silentLog, clock: systemClock })
await syncDatabase(db)
const told = (what: string) => writeSync(1, `told ${what}\n`)
const insert = (on: typeof db, id: string) => on.insertInto('projects').values({ id, created_at: 0 }).execute()

const ways = [
  async (id: string) => {
    await insert(db, id)
    told(id)
  },
  async (id: string) => {
    await tx(db, (db) => insert(db, id))
    told(id)
  },
  // What somebody has read is told, too.
  async (id: string) => {
    const rows = await db.selectFrom('projects').select('id').execute()
    for (const row of rows.slice(-3)) told(row.id)
    await tx(db, async (db) => {
      await insert(db, `${id}-no`)
      throw new Error('rolled back')
    }).catch(() => undefined)
  },
]
for (let round = 0; round < 8; round++)
  await Promise.all(
    Array.from({ length: [1, 3, 8, 50][round % 4] as number }, (_, i) =>
      ways[(i + round) % ways.length]?.(`p${round}-${i}`),
    ),
  )
// No checkpoint at a clean end: the log is to be looked at.
process.exit(0)
