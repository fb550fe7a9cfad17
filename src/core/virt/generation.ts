import type { Guest } from './driver.ts'

/** Fails if a newer owner of the instance has been on this host: what we were told is out of date then. */
export function checkGeneration(known: Guest | undefined, guest: Guest): void {
  if (known && guest.generation < known.generation) {
    throw new Error(`generation ${guest.generation} asks for it, and generation ${known.generation} has it`)
  }
}
