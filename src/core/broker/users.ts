import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { newPassword } from '../base/ids.ts'
import { Access, type Permissions } from './access.ts'
import { SlowHash } from './slow-hash.ts'

/** A logged-in user; without `access` it may do everything. */
export type User = { readonly name: string; readonly access: Access | undefined }

/**
 * A user as stored in the file: a hash of the password, never the password. `mac` is HMAC-SHA-256 under the salt: it is
 * fast, which is safe because all of these passwords are random and have 192 bits. `hash` is scrypt, as earlier versions
 * wrote it; the next login turns it into a `mac`. All are base64.
 */
type Account = { readonly salt: string; readonly permissions: Permissions } & (
  | { readonly mac: string }
  | { readonly hash: string }
)

/** What a login comes to: the user, `refused`, or `busy` if too many wait for their turn. */
export type Login = User | 'refused' | 'busy'

const hashBytes = 32

const macOf = (password: string, salt: Buffer): Buffer => createHmac('sha256', salt).update(password).digest()

/** The same work for a name that is no account as for one that is. */
const nobody = { salt: randomBytes(16).toString('base64'), mac: randomBytes(hashBytes).toString('base64') }

/** The users: those the broker was started with, who may do everything, and those in a file, who have permissions. */
export class Users {
  readonly #fixed: ReadonlyMap<string, { readonly salt: string; readonly mac: string }>
  readonly #file: string | undefined
  readonly #accounts: Map<string, Account>
  readonly #slow = new SlowHash()

  /** Reads the file if it exists. */
  constructor(fixed: Readonly<Record<string, string>>, file: string | undefined) {
    this.#fixed = new Map(Object.entries(fixed).map(([name, password]) => [name, record(password)]))
    this.#file = file
    this.#accounts = new Map(file === undefined ? [] : Object.entries(readAccounts(file)))
  }

  /**
   * Whom a password proves. A login takes as long for any name, except those few whose password still has the slow hash:
   * that such a name exists can be seen from outside. `address` is the peer's.
   */
  async login(name: string, password: string, address: string): Promise<Login> {
    const fixed = this.#fixed.get(name)
    const account = fixed === undefined ? this.#accounts.get(name) : undefined
    if (account !== undefined && 'hash' in account) return this.#slowLogin(name, password, account, address)
    const { salt, mac } = fixed ?? account ?? nobody
    const proven = timingSafeEqual(macOf(password, Buffer.from(salt, 'base64')), Buffer.from(mac, 'base64'))
    if (!proven) return 'refused'
    if (fixed !== undefined) return { name, access: undefined }
    return account === undefined ? 'refused' : { name, access: new Access(name, account.permissions) }
  }

  async #slowLogin(
    name: string,
    password: string,
    account: Account & { readonly hash: string },
    address: string,
  ): Promise<Login> {
    const given = await this.#slow.of(password, Buffer.from(account.salt, 'base64'), hashBytes, address)
    if (given === undefined) return 'busy'
    if (!timingSafeEqual(given, Buffer.from(account.hash, 'base64'))) return 'refused'
    // The user was removed, or has another record since this login began.
    if (this.#accounts.get(name) !== account) return this.login(name, password, address)
    const { permissions } = account
    this.#accounts.set(name, { ...record(password), permissions })
    this.#save()
    return { name, access: new Access(name, permissions) }
  }

  /** Adds a user, or gives an existing one new permissions; either way the user gets a new password. */
  put(name: string, permissions: Permissions): { known: boolean; password: string } {
    // An invalid expression fails here, not at the next login.
    new Access(name, permissions)
    const password = newPassword()
    const known = this.#accounts.has(name)
    this.#accounts.set(name, { ...record(password), permissions })
    this.#save()
    return { known, password }
  }

  /** Removes a user; false if there was none. */
  remove(name: string): boolean {
    if (!this.#accounts.delete(name)) return false
    this.#save()
    return true
  }

  #save(): void {
    if (this.#file === undefined) return
    const next = `${this.#file}.new`
    writeFileSync(next, `${JSON.stringify(Object.fromEntries(this.#accounts), null, 2)}\n`, {
      mode: 0o600,
      flush: true,
    })
    renameSync(next, this.#file)
  }
}

function record(password: string): { readonly salt: string; readonly mac: string } {
  const salt = randomBytes(16)
  return { salt: salt.toString('base64'), mac: macOf(password, salt).toString('base64') }
}

function readAccounts(file: string): Record<string, Account> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Account>
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw e
  }
}
