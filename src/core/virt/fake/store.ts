import { appendFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { PowerState } from '../../model/instance.ts'
import type { Guest } from '../driver.ts'
import type { Moment } from './console.ts'

/** A guest as the fake hypervisor knows it. */
export type FakeGuest = { guest: Guest; power: PowerState; moments: Moment[] }

/** One line of the file: a guest as it was given, what became of it, or its end. */
type Line = { id: string; guest?: Guest; power?: PowerState; moment?: Moment; moments?: Moment[]; gone?: true }

/** A console shows no more moments than these. */
const momentsKept = 20

/**
 * The guests of a fake host. With a file they outlive the process: each change is one line, written before the action is
 * said to be done, so that a killed daemon loses nothing.
 */
export class FakeStore {
  readonly guests = new Map<string, FakeGuest>()
  readonly #file: string | undefined

  constructor(file: string | undefined) {
    this.#file = file
    this.reload()
  }

  /** Reads the file again, and writes it again if most of its lines are out of date. */
  reload(): void {
    if (this.#file === undefined) return
    this.guests.clear()
    const lines = readLines(this.#file)
    for (const line of lines) this.#apply(line)
    if (lines.length > 100 && lines.length > 4 * this.guests.size) this.#compact(this.#file)
  }

  /** Keeps what a guest is to start with; its power and console stay what they were. */
  keep(guest: Guest): void {
    this.#write({ id: guest.id, guest })
  }

  change(id: string, power: PowerState, moment?: Moment): void {
    this.#write(moment ? { id, power, moment } : { id, power })
  }

  /** A guest that came from another host, in place of whatever was known of it. */
  takeIn(guest: Guest, moments: Moment[]): void {
    this.#write({ id: guest.id, guest, power: 'SHUTDOWN', moments })
  }

  forget(id: string): void {
    this.#write({ id, gone: true })
  }

  #write(line: Line): void {
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(line)}\n`, { mode: 0o600 })
    this.#apply(line)
  }

  #apply({ id, guest, power, moment, moments, gone }: Line): void {
    if (gone) this.guests.delete(id)
    if (guest) this.guests.set(id, { ...(this.guests.get(id) ?? { power: 'SHUTDOWN', moments: [] }), guest })
    const known = this.guests.get(id)
    if (!known) return
    if (moments) known.moments = moments.slice(-momentsKept)
    if (power) known.power = power
    if (moment) known.moments = [...known.moments, moment].slice(-momentsKept)
  }

  #compact(file: string): void {
    const lines: Line[] = []
    for (const [id, { guest, power, moments }] of this.guests) {
      lines.push({ id, guest }, { id, power }, ...moments.map((moment) => ({ id, moment })))
    }
    writeFileSync(`${file}.part`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''), { mode: 0o600 })
    renameSync(`${file}.part`, file)
  }
}

function readLines(file: string): Line[] {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (e) {
    if ((e as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw e
  }
  // What follows the last line break was being written when the daemon was killed: it did not happen.
  const whole = text.slice(0, text.lastIndexOf('\n') + 1)
  if (whole.length < text.length) writeFileSync(file, whole)
  return whole
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}
