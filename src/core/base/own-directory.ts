import { mkdirSync, type Stats, statSync } from 'node:fs'
import { fail } from './errors.ts'

/** What others may write to, or own, they may have filled: with a password that they know, or a link to our files. */
const whyNotOurs = ({ uid, mode }: Stats): string | undefined => {
  if (uid !== process.geteuid?.()) return `it belongs to another user (uid ${uid}); choose another, or take it: chown`
  if ((mode & 0o022) !== 0) return 'others may write to it; look at what is in it, then: chmod go-w'
  return undefined
}

/**
 * Makes a directory for this user alone, or takes one that is there: `ConfigInvalid` if it belongs to another user or others
 * may write to it, as ssh does it. `key` is the option that it comes from.
 */
export function ownDirectory(path: string, key: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  checkOwned(path, key)
}

/** The same for what is there already: `ConfigInvalid` if it is not this user's alone. */
export function checkOwned(path: string, key: string): void {
  const why = whyNotOurs(statSync(path))
  if (why !== undefined) fail('ConfigInvalid', { key, value: path, allowed: why, source: 'as found' })
}
