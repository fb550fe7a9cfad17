import { isIP } from 'node:net'
import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  MysqlDialect,
  type MysqlDialectConfig,
  MysqlDriver,
} from 'kysely'
import type { PoolConnection } from 'mysql2'
import type { Clock } from '../base/clock.ts'
import { Failure, isFailure, reason } from '../base/errors.ts'
import type { Tls } from '../base/tls.ts'
import type { UrlParts } from '../base/url.ts'
import { attemptsMax, pauseMs, stillInTheWay } from './conflict.ts'
import { isConflict, isConnectionLoss, isRefusal, isUnknownVariable, MysqlTablesCompiler } from './dialect.ts'
import { isPrepared } from './prepared.ts'
import { limited } from './statement-limit.ts'

type Done = (error: unknown, ...answer: unknown[]) => void
type Query = (sql: string, values: unknown, done: Done) => ReturnType<PoolConnection['query']>

/** Opens a pool of connections to a MySQL or MariaDB server: `mysql://user:password@host:port/database[?socketPath=…]`. */
export async function mysqlDialect(
  url: UrlParts,
  { clock, poolSize, tls }: { clock: Clock; poolSize: number; tls: Tls | undefined },
): Promise<Dialect> {
  const { createPool } = await import('mysql2')
  const { host, port = 3306, user, password, path, params } = url
  const socketPath = params.get('socketPath')
  const pool = createPool({
    ...(socketPath ? { socketPath } : { host, port }),
    user,
    password,
    database: path.slice(1),
    charset: 'utf8mb4_bin',
    // An IP address cannot be checked against the names in a certificate; then the CA alone must do.
    ...(tls && { ssl: { ...tls, rejectUnauthorized: true, verifyIdentity: isIP(host) === 0 } }),
    connectionLimit: poolSize,
    connectTimeout: 5000,
    // MySQL returns sums as DECIMAL; all of ours are far below 2^53.
    decimalNumbers: true,
  })
  pool.on('connection', (connection) => watch(connection, clock))
  const where = socketPath ?? (isIP(host) === 6 ? `[${host}]:${port}` : `${host}:${port}`)
  const config: MysqlDialectConfig = { pool, onCreateConnection: prepare }
  return new (class extends MysqlDialect {
    override createDriver = () => new GuardedDriver(config, where, clock)
    override createQueryCompiler = () => new MysqlTablesCompiler()
  })(config)
}

/**
 * Prepared queries are parsed once for each connection; others vary too much to be worth keeping. Each has a limit of time.
 * And a connection to a server that refuses us is closed instead of given back: the pool would hand it out again and again.
 */
function watch(connection: PoolConnection, clock: Clock): void {
  const query = connection.query.bind(connection) as Query
  const execute = connection.execute.bind(connection) as Query
  const release = connection.release.bind(connection)
  let isOfNoUse = false
  connection.query = ((sql: string, values: unknown, done: Done) => {
    const heed: Done = (error, ...answer) => {
      isOfNoUse ||= isRefusal(error)
      done(error, ...answer)
    }
    const run = isPrepared(sql) ? execute : query
    limited(connection, clock, heed, (done) => void run(sql, values, done))
  }) as typeof connection.query
  connection.release = () => (isOfNoUse ? connection.destroy() : release())
}

/**
 * The settings of each new connection: compare-and-set needs the newest rows, not a snapshot; and bad data is refused.
 */
async function prepare(connection: DatabaseConnection): Promise<void> {
  for (const setting of [
    'set session transaction isolation level read committed',
    "set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', session innodb_lock_wait_timeout = 10",
  ])
    await connection.executeQuery(CompiledQuery.raw(setting))
  // On a Galera cluster each statement sees what any node has committed before; without one this changes nothing.
  await connection.executeQuery(CompiledQuery.raw('set session wsrep_sync_wait = 7')).catch((e) => {
    if (!isUnknownVariable(e)) throw e
  })
}

/** For how long a statement that stands alone is repeated: a wait for a lock takes 10 s, and has a second chance. */
const repeatWithinMs = 15_000

/** Kysely's driver, with lost connections reported as `DatabaseDown`, and conflicts outside transactions repeated. */
class GuardedDriver extends MysqlDriver {
  readonly #where: string
  readonly #clock: Clock
  readonly #guarded = new WeakSet<DatabaseConnection>()
  readonly #inTransaction = new WeakSet<DatabaseConnection>()

  constructor(config: MysqlDialectConfig, where: string, clock: Clock) {
    super(config)
    this.#where = where
    this.#clock = clock
  }

  /** A connection that was lost has been rolled back by the server; why it was lost is what the caller must hear. */
  override async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    await super.rollbackTransaction(connection).catch((e) => {
      if (!isFailure(e, 'DatabaseDown')) throw e
    })
  }

  override async beginTransaction(...args: Parameters<MysqlDriver['beginTransaction']>): Promise<void> {
    await super.beginTransaction(...args)
    this.#inTransaction.add(args[0])
  }

  override async releaseConnection(...args: Parameters<MysqlDriver['releaseConnection']>): Promise<void> {
    this.#inTransaction.delete(args[0])
    await super.releaseConnection(...args)
  }

  override async acquireConnection(): Promise<DatabaseConnection> {
    const connection = await super.acquireConnection().catch((e) => this.#failAsDown(e, true))
    if (!this.#guarded.has(connection)) {
      this.#guarded.add(connection)
      const execute = connection.executeQuery.bind(connection)
      connection.executeQuery = <R>(query: CompiledQuery) =>
        this.#repeated(connection, () => execute<R>(query)).catch((e) => this.#failAsDown(e))
    }
    return connection
  }

  /**
   * A statement that another one was in the way of has done nothing, and is repeated where it stands alone; else its
   * transaction is, by `tx`.
   */
  async #repeated<T>(connection: DatabaseConnection, execute: () => Promise<T>): Promise<T> {
    const until = this.#clock.now() + repeatWithinMs
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await execute()
      } catch (e) {
        if (!isConflict(e) || this.#inTransaction.has(connection)) throw e
        if (attempt === attemptsMax || this.#clock.now() > until) throw stillInTheWay(e, attempt)
      }
      await this.#clock.sleep(pauseMs(attempt))
    }
  }

  /** `connecting`: whatever the server has against a connection, there is none. */
  #failAsDown(e: unknown, connecting = false): never {
    // mysql2 keeps OpenSSL's text, not its code.
    if ((e as { code?: unknown }).code === 'HANDSHAKE_SSL_ERROR') {
      const why = `${this.#where}: its certificate could not be verified (${reason(e)}). Set database.ca_file to the CA that signed it`
      throw new Failure('DatabaseDown', { why }, e)
    }
    if (connecting || isConnectionLoss(e) || isRefusal(e))
      throw new Failure('DatabaseDown', { why: `${this.#where}: ${reason(e)}` }, e)
    throw e
  }
}
