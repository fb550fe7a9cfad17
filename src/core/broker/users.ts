import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { Access, type Permissions } from './access.ts'

/** A logged-in user; without `access` it may do everything. */
export type User = { readonly name: string; readonly access: Access | undefined }

/** A user as stored in the file: the scrypt hash (RFC 7914) of the password, never the password. Base64. */
type Account = { readonly salt: string; readonly hash: string; readonly permissions: Permissions }

const derive = promisify(scrypt) as (password: string, salt: Buffer, length: number) => Promise<Buffer>
const hashBytes = 32

/** Stands in for the record of an unknown user, so that a login takes as long for any name. */
const nobody: Account = {
  salt: '',
  hash: Buffer.alloc(hashBytes).toString('base64'),
  permissions: { configure: '^$', write: '^$', read: '^$', topics: [] },
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

/** The users: those the broker was started with, who may do everything, and those in a file, who have permissions. */
export class Users {
  readonly #fixed: Readonly<Record<string, string>>
  readonly #file: string | undefined
  readonly #accounts: Map<string, Account>

  /** Reads the file if it exists. */
  constructor(fixed: Readonly<Record<string, string>>, file: string | undefined) {
    this.#fixed = fixed
    this.#file = file
    this.#accounts = new Map(file === undefined ? [] : Object.entries(readAccounts(file)))
  }

  /** The user that a password proves; undefined if the password is wrong. */
  async login(name: string, password: string): Promise<User | undefined> {
    const fixed = Object.hasOwn(this.#fixed, name) ? this.#fixed[name] : undefined
    if (fixed !== undefined)
      return timingSafeEqual(digest(password), digest(fixed)) ? { name, access: undefined } : undefined
    const account = this.#accounts.get(name)
    const { salt, hash } = account ?? nobody
    const given = await derive(password, Buffer.from(salt, 'base64'), hashBytes)
    if (!timingSafeEqual(given, Buffer.from(hash, 'base64'))) return undefined
    // The user may have been removed, or have another password, since this login began.
    return account !== undefined && this.#accounts.get(name) === account
      ? { name, access: new Access(name, account.permissions) }
      : undefined
  }

  /** Adds a user, or gives an existing one a new password and new permissions; true if the user existed. */
  async put(name: string, password: string, permissions: Permissions): Promise<boolean> {
    // An invalid expression fails here, not at the next login.
    new Access(name, permissions)
    const salt = randomBytes(16)
    const hash = await derive(password, salt, hashBytes)
    const known = this.#accounts.has(name)
    this.#accounts.set(name, { salt: salt.toString('base64'), hash: hash.toString('base64'), permissions })
    this.#save()
    return known
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

function readAccounts(file: string): Record<string, Account> {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, Account>
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return {}
    throw e
  }
}
