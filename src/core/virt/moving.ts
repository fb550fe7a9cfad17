import type { PowerState } from '../model/instance.ts'

/** Fails unless a guest in this power state can be moved to another host: nothing of it may be in memory. */
export function checkExportable(power: PowerState): void {
  if (power === 'SHUTDOWN' || power === 'CRASHED') return
  if (power === 'NOSTATE') throw new Error('it has no disk on this host')
  if (power === 'SUSPENDED') throw new Error('its memory is saved here: resume or stop it first')
  throw new Error('it runs: stop it first')
}

/** Fails if a guest in this power state must not be replaced by what another host sends of it. */
export function checkReplaceable(power: PowerState): void {
  if (power === 'RUNNING' || power === 'PAUSED') throw new Error('it runs on this host')
}
