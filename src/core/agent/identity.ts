import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fail } from '../base/errors.ts'
import type { Ids } from '../base/ids.ts'
import { holdPidFile } from '../base/pid-file.ts'
import { makeFile } from '../base/whole-file.ts'

/** Who a host is, whatever it is called. `release` lets another daemon use its state directory. */
type HostIdentity = { readonly hostId: string; release(): void }

/**
 * The identity kept in `stateDir`, made at the first start; the directory is this process's until it is released.
 * `InvalidRequest` if another daemon uses it: two daemons on one host's guests would run them twice.
 */
export async function hostIdentity(stateDir: string, ids: Ids): Promise<HostIdentity> {
  await mkdir(stateDir, { recursive: true, mode: 0o700 })
  const lock = holdPidFile(join(stateDir, 'compute.pid'))
  if (!lock.held) {
    fail('InvalidRequest', {
      what: `A compute daemon runs already in ${stateDir} (process ${lock.pid}).`,
      hint: 'Stop it first, or give this one a state directory of its own.',
    })
  }
  try {
    return { hostId: await readOrMake(stateDir, ids), release: () => void lock.release() }
  } catch (e) {
    lock.release()
    throw e
  }
}

async function readOrMake(stateDir: string, ids: Ids): Promise<string> {
  const path = join(stateDir, 'host-id')
  const known = async () => (await readFile(path, 'utf8')).trim()
  try {
    return checked(path, await known())
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code !== 'ENOENT') throw e
  }
  await makeFile(path, `${ids.uuid()}\n`, 'new')
  return checked(path, await known())
}

/** A broken file must not become a new identity: the guests here are the old one's. */
function checked(path: string, id: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) return id
  fail('InvalidRequest', {
    what: `${path} does not hold this host's identity (a UUID).`,
    hint: 'Bring it back from a copy; nova host show tells what the cloud knows.',
  })
}
