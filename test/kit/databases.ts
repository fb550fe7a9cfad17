import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { systemClock } from '../../src/core/base/clock.ts'
import { silentLog } from '../../src/core/base/log.ts'
import { type Db, openDatabase } from '../../src/core/db/open.ts'
import { missing } from './missing.ts'

/** A database of its own for a test; `drop` closes and removes it. */
export type TestDatabase = { db: Db; url: string; drop(): Promise<void> }
export type TestDatabases = { name: 'sqlite' | 'mysql'; open(): Promise<TestDatabase> }

const server = process.env.NOVA_TEST_MYSQL_URL ?? 'mysql://root@127.0.0.1:3306'
const setting = { log: silentLog, clock: systemClock }

/** In memory where the machine has such a directory: what a test writes need not outlive a power cut. */
const memory = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

const sqlite: TestDatabases = {
  name: 'sqlite',
  async open() {
    const folder = mkdtempSync(join(memory, 'nova-db-'))
    const url = `sqlite:${join(folder, 'nova.sqlite')}`
    const db = await openDatabase(url, setting)
    return {
      db,
      url,
      async drop() {
        await db.destroy()
        rmSync(folder, { recursive: true, force: true })
      },
    }
  },
}

const mysql: TestDatabases = {
  name: 'mysql',
  async open() {
    const name = `nova_test_${process.pid}_${randomBytes(4).toString('hex')}`
    await admin(`create database ${name}`)
    const url = new URL(server)
    url.pathname = `/${name}`
    const db = await openDatabase(url.href, setting)
    return {
      db,
      url: url.href,
      async drop() {
        await db.destroy()
        await admin(`drop database if exists ${name}`)
      },
    }
  },
}

/** Runs one statement on the server, outside of any database. */
export async function admin(statement: string): Promise<void> {
  const connection = await createConnection({ uri: server, connectTimeout: 3000 })
  try {
    await connection.query(statement)
  } finally {
    await connection.end()
  }
}

let found: Promise<TestDatabases[]> | undefined

/**
 * The databases on which everything must do the same: SQLite always; MySQL or MariaDB where a server is found
 * (NOVA_TEST_MYSQL_URL, else 127.0.0.1 as root), or else a warning; a failure where NOVA_REQUIRE names mysql.
 */
export function databases(): Promise<TestDatabases[]> {
  found ??= admin('select 1').then(
    () => [sqlite, mysql],
    (e) => {
      missing('mysql', `no MySQL or MariaDB at ${server.replace(/\/\/.*@/, '//…@')}: ${e.message || e.code}`)
      return [sqlite]
    },
  )
  return found
}
