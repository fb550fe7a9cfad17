import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createConnection } from 'mysql2/promise'
import { exec } from '../../src/core/base/exec.ts'
import { missing } from './missing.ts'
import { persist } from './patience.ts'
import { freePort } from './private-rabbitmq.ts'

const program = '/usr/sbin/mariadbd'

/** A MariaDB of the test's own that lets nobody in but by TLS, with an empty database. */
export type PrivateMariadb = { readonly url: string; stop(): Promise<void> }

/** Starts it on a free port; undefined, and said, where MariaDB is not installed. */
export async function privateMariadb(tls: {
  ca: string
  cert: string
  key: string
}): Promise<PrivateMariadb | undefined> {
  if (!existsSync(program)) return missing('mysql', 'MariaDB is not installed (apt-get install mariadb-server)')
  const dir = mkdtempSync(join(tmpdir(), 'nova-mariadb-'))
  chmodSync(dir, 0o700)
  const data = join(dir, 'data')
  const user = process.getuid?.() === 0 ? ['--user=root'] : []
  const made = await exec('mariadb-install-db', [
    '--no-defaults',
    `--datadir=${data}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    ...user,
  ])
  if (made.code !== 0) throw new Error(`mariadb-install-db: ${made.stderr || made.stdout}`)
  const port = await freePort()
  const socket = join(dir, 'm.sock')
  const server = spawn(
    program,
    [
      '--no-defaults',
      `--datadir=${data}`,
      `--socket=${socket}`,
      `--port=${port}`,
      '--bind-address=127.0.0.1',
      `--ssl-ca=${tls.ca}`,
      `--ssl-cert=${tls.cert}`,
      `--ssl-key=${tls.key}`,
      '--require-secure-transport=ON',
      '--innodb-buffer-pool-size=16M',
      ...user,
    ],
    { stdio: 'ignore' },
  )
  const ended = once(server, 'exit')
  const connection = await persist(() => createConnection({ socketPath: socket, user: 'root' }))
  await connection.query('create database nova')
  await connection.query("create user nova@'%' identified by 'secret'")
  await connection.query("grant all on nova.* to nova@'%'")
  await connection.end()
  return {
    url: `mysql://nova:secret@localhost:${port}/nova`,
    async stop() {
      server.kill('SIGTERM')
      await ended
      rmSync(dir, { recursive: true, force: true, maxRetries: 5 })
    },
  }
}
