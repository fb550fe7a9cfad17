import { AsyncLocalStorage } from 'node:async_hooks'
import type { Duplex } from 'node:stream'
import type { PoolConnection } from 'mysql2'
import type { Clock } from '../base/clock.ts'

/** How long a server may take for a statement: longer than a wait for a lock may last, which the server ends itself. */
const limitMs = 12_000

const withoutLimit = new AsyncLocalStorage<true>()

/** Runs `fn`, whose statements may take any time: changing a large table does, and so does waiting for who changes it. */
export const unlimited = <T>(fn: () => Promise<T>): Promise<T> => withoutLimit.run(true, fn)

type Done = (error: unknown, ...answer: unknown[]) => void

/**
 * Has `run` call back in bounded time: a server that hangs, or a line that lets nothing through, would keep the caller
 * waiting for ever. Then the connection is destroyed: nobody knows what it is about to answer.
 */
export function limited(connection: PoolConnection, clock: Clock, done: Done, run: (done: Done) => void): void {
  if (withoutLimit.getStore()) {
    run(done)
    return
  }
  let over = false
  const end: Done = (...answer) => {
    if (over) return
    over = true
    disarm()
    done(...answer)
  }
  const disarm = clock.after(limitMs, () => {
    connection.destroy()
    // That waits for the server to close its side, too. The types of mysql2 leave the socket out.
    ;(connection as PoolConnection & { readonly stream: Duplex }).stream.destroy()
    end(Object.assign(new Error(`no answer to a statement within ${limitMs / 1000} s`), { fatal: true }))
  })
  run(end)
}
