import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/core/base/clock.ts'
import { silentLog } from '../../../src/core/base/log.ts'
import { syncDatabase } from '../../../src/core/db/migrate.ts'
import { openDatabase } from '../../../src/core/db/open.ts'

export async function testDatabases() {
  const urls = [`sqlite:${join(mkdtempSync(join(tmpdir(), 'nova-')), 'a.db')}`]
  if (process.env.TMP_MYSQL) urls.push(process.env.TMP_MYSQL)
  return Promise.all(
    urls.map(async (url) => {
      const db = await openDatabase(url, { log: silentLog, clock: systemClock })
      await syncDatabase(db)
      return { name: db.dialect, db, second: await openDatabase(url, { log: silentLog, clock: systemClock }) }
    }),
  )
}
