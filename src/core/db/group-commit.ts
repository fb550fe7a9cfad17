import { CompiledQuery, type DatabaseConnection, type Driver, type QueryResult } from 'kysely'
import { deferred } from '../base/concurrency.ts'
import { isRolledBack } from './dialect.ts'

/** How a statement is run on the one connection, and whether it writes. */
export type Statements = {
  run<R>(query: CompiledQuery): Promise<QueryResult<R>>
  writes(query: CompiledQuery): boolean
}

/** So many transactions are made durable by one commit at most: the first of them waits for the last. */
const groupMax = 32

/** Transactions that are over and wait for the commit that makes them durable, all at once. */
type Group = { members: number; readonly durable: Promise<void>; end(failure?: unknown): void }

/**
 * A driver for a library with one connection and durable commits, whose price is the wait for the disk. Callers have the
 * connection in turn. While others wait for it, a transaction that is over is not committed: the next one begins inside the
 * same transaction of the database, as a savepoint, and one commit makes all of them durable. Nobody hears that a
 * transaction has succeeded, or what a statement has read of it, before that commit; if the commit fails, all of them have.
 */
export function groupingDriver(statements: Statements, destroy: () => void): Driver {
  const shared = new SharedConnection(statements)
  const turnOf = (connection: DatabaseConnection) => connection as Turn
  return {
    async init() {},
    acquireConnection: () => shared.acquire(),
    releaseConnection: (connection) => shared.passOn(turnOf(connection)),
    beginTransaction: (connection) => turnOf(connection).begin(),
    commitTransaction: (connection) => turnOf(connection).commit(),
    rollbackTransaction: (connection) => turnOf(connection).rollback(),
    async destroy() {
      destroy()
    },
  }
}

/** The connection, who waits for it, and the group that is open on it. */
class SharedConnection {
  readonly statements: Statements
  readonly #waiting: Array<() => void> = []
  #taken = false
  group: Group | undefined

  constructor(statements: Statements) {
    this.statements = statements
  }

  get isAwaited(): boolean {
    return this.#waiting.length > 0
  }

  async acquire(): Promise<Turn> {
    if (this.#taken) await new Promise<void>((resolve) => this.#waiting.push(resolve))
    this.#taken = true
    return new Turn(this)
  }

  async raw(sql: string): Promise<void> {
    await this.statements.run(CompiledQuery.raw(sql))
  }

  async openGroup(): Promise<Group> {
    // Plain `begin` takes the write lock only at the first write; if another writer holds it then, the whole
    // transaction must start over.
    await this.raw('begin immediate')
    this.group = newGroup()
    return this.group
  }

  /** The database's transaction is gone, with all that was done in it. */
  lose(failure: unknown): void {
    this.group?.end(failure)
    this.group = undefined
  }

  /** The next one's turn; a group that nobody else would join is committed first. */
  async passOn(turn: Turn): Promise<void> {
    if (turn.over) return
    turn.over = true
    if (this.group && (!this.isAwaited || this.group.members >= groupMax)) await this.#commit()
    const next = this.#waiting.shift()
    if (next) next()
    else this.#taken = false
  }

  async #commit(): Promise<void> {
    try {
      await this.raw('commit')
      this.group?.end()
      this.group = undefined
    } catch (e) {
      await this.raw('rollback').catch(() => undefined)
      this.lose(e)
    }
  }
}

/** The connection in the hands of one caller, until the next one has it. */
class Turn implements DatabaseConnection {
  over = false
  /** The first transaction of a group is the database's own, those after it are savepoints. */
  #transaction: 'none' | 'first' | 'later' = 'none'
  #failure: unknown
  readonly #shared: SharedConnection

  constructor(shared: SharedConnection) {
    this.#shared = shared
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#transaction === 'none' && !this.over) return this.#alone(query)
    try {
      return await this.#shared.statements.run(query)
    } catch (e) {
      this.#failure = e
      throw e
    }
  }

  // biome-ignore lint/correctness/useYield: nothing of ours streams.
  async *streamQuery(): AsyncIterableIterator<never> {
    throw new Error('bug: SQLite results are not streamed')
  }

  async begin(): Promise<void> {
    const { group } = this.#shared
    if (group) await this.#shared.raw('savepoint turn')
    else await this.#shared.openGroup()
    this.#transaction = group ? 'later' : 'first'
  }

  async commit(): Promise<void> {
    const own = this.#shared.group as Group
    if (this.#transaction === 'later')
      await this.#shared.raw('release turn').catch((e) => {
        if (isRolledBack(e)) this.#shared.lose(this.#failure ?? e)
        throw e
      })
    await this.#join(own)
  }

  async rollback(): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = 'none'
    if (transaction === 'later') return this.#undo(this.#failure)
    await this.#shared.raw('rollback').catch((e) => {
      if (!isRolledBack(e)) throw e
    })
    this.#shared.lose(undefined)
  }

  /** A statement that is a transaction of its own. */
  async #alone<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { statements, group, isAwaited } = this.#shared
    const writes = statements.writes(query)
    if (!group && !(writes && isAwaited)) return statements.run(query)
    const own = group ?? (await this.#shared.openGroup())
    if (writes) await this.#shared.raw('savepoint turn')
    let result: QueryResult<R>
    try {
      result = await statements.run(query)
    } catch (e) {
      if (writes) await this.#undo(e)
      throw e
    }
    if (writes) await this.#shared.raw('release turn')
    await this.#join(own)
    return result
  }

  /** This part of the group is done: the next one's turn, and then the commit is awaited. */
  async #join({ durable }: Group): Promise<void> {
    if (this.#shared.group) this.#shared.group.members += 1
    this.#transaction = 'none'
    await this.#shared.passOn(this)
    await durable
  }

  /** Takes back what was done since the savepoint; if SQLite has rolled back more than that, the group is lost. */
  async #undo(cause: unknown): Promise<void> {
    try {
      await this.#shared.raw('rollback to turn')
      await this.#shared.raw('release turn')
    } catch (e) {
      // A full disk makes SQLite roll everything back; all must see the full disk as the cause.
      if (!isRolledBack(e)) throw e
      this.#shared.lose(cause ?? e)
    }
  }
}

function newGroup(): Group {
  const { promise: durable, resolve, reject } = deferred()
  // Whoever was rolled back does not wait for the commit.
  durable.catch(() => undefined)
  return {
    members: 0,
    durable,
    end: (failure) => (failure === undefined ? resolve() : reject(failure)),
  }
}
