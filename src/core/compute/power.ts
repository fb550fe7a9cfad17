import type { KeyedMutex, Release } from '../base/concurrency.ts'
import { reason } from '../base/errors.ts'
import { backoffMs, isUnavailable } from '../base/retry.ts'
import { lastWordsGuests, lastWordsMax } from '../contracts/compute-agent.ts'
import { serviceContext } from '../model/context.ts'
import type { PowerState } from '../model/instance.ts'
import type { GuestPower } from '../virt/driver.ts'
import { type ComputeDeps, selfOf } from './deps.ts'

/** An instance as the conductor believes it to be. */
type Believed = { id: string; power: PowerState }

/** Tells the conductor how guests are that changed by themselves. */
export type PowerReports = {
  /** All guests of this host, save those with an operation under way. */
  all(): Promise<void>
  /** Those that are not as the conductor believes; guests that are not here count as NOSTATE. */
  differences(believed: readonly Believed[]): Promise<void>
  /** One that has just changed. Told when no operation is under way, as soon as the conductor hears it; never rejects. */
  changed(id: string): Promise<void>
}

const timeoutMs = 10_000

/**
 * Power reports that cannot overtake operations: whoever reports on a guest holds its turn, so what it has seen is still
 * so when it is written down.
 */
export function powerReports(
  deps: Pick<ComputeDeps, 'computeAgent' | 'clock' | 'driver' | 'host' | 'ids' | 'incarnation' | 'log'>,
  mutex: KeyedMutex,
  stopped: AbortSignal,
): PowerReports {
  const { computeAgent, clock, driver, ids, log } = deps
  const pending = new Set<string>()

  const send = async (changes: GuestPower[]): Promise<void> => {
    if (changes.length === 0) return
    const ctx = serviceContext('compute', ids.requestId())
    await computeAgent.power(ctx, { ...selfOf(deps), changes, ...(await wordsOf(changes)) }, { timeoutMs })
  }

  /** What the hypervisor says of the guests that crashed. */
  const wordsOf = async (changes: GuestPower[]): Promise<{ lastWords?: Record<string, string> }> => {
    const words: Record<string, string> = {}
    for (const { id, power } of changes) {
      if (power !== 'CRASHED' || Object.keys(words).length === lastWordsGuests) continue
      const last = await driver.lastWords?.(id).catch(() => undefined)
      if (last) words[id] = last.slice(0, lastWordsMax)
    }
    return Object.keys(words).length > 0 ? { lastWords: words } : {}
  }

  /** Looks at the guests that are at rest and tells of those that `worthTelling` picks. */
  const report = async (among: readonly string[], worthTelling: (seen: GuestPower) => boolean): Promise<void> => {
    const held = new Map<string, Release>()
    try {
      for (const id of among) {
        const release = mutex.tryAcquire(id)
        if (release) held.set(id, release)
      }
      const seen = new Map((await driver.list()).map(({ id, power }) => [id, power]))
      const states = [...held.keys()].map((id) => ({ id, power: seen.get(id) ?? ('NOSTATE' as const) }))
      await send(states.filter(worthTelling))
    } finally {
      for (const release of held.values()) release()
    }
  }

  /** False if the conductor was away. */
  const reported = async (id: string): Promise<boolean> => {
    pending.add(id)
    const release = await mutex.acquire(id)
    // Changes from here on need another look.
    pending.delete(id)
    try {
      const power = await driver.power(id)
      log.info({ instance: id, power }, 'guest changed by itself')
      await send([{ id, power }])
      return true
    } catch (e) {
      log.warn({ instance: id, why: reason(e) }, 'a change of power could not be reported')
      return !isUnavailable(e)
    } finally {
      release()
    }
  }

  return {
    async all() {
      const here = await driver.list()
      await report(
        here.map(({ id }) => id),
        () => true,
      )
    },
    async differences(believed) {
      const beliefs = new Map(believed.map(({ id, power }) => [id, power]))
      await report([...beliefs.keys()], ({ id, power }) => beliefs.get(id) !== power)
    },
    async changed(id) {
      for (let n = 0; !pending.has(id) && !stopped.aborted; n++) {
        if (await reported(id)) return
        // Meanwhile its turn is free, and a further change of it may be faster.
        await clock.sleep(backoffMs(n, ids.random()), stopped).catch(() => undefined)
      }
    },
  }
}
