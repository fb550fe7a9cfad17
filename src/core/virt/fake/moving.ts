import * as z from 'zod'
import type { DiskReader } from '../driver.ts'
import { type Moment, marks } from './console.ts'
import type { FakeGuest } from './store.ts'

/** More than any fake guest has to move, in bytes. */
const maxBytes = 1 << 16

/** What a fake guest has to move, as the bytes of a disk: its console. */
export function readGuest({ moments }: FakeGuest): DiskReader {
  const data = Buffer.from(JSON.stringify(moments))
  return {
    sizeBytes: data.length,
    lengthBytes: data.length,
    async *extents(signal) {
      signal?.throwIfAborted()
      yield { offset: 0, data }
    },
    close: async () => undefined,
  }
}

const Moments = z.array(z.strictObject({ at: z.number(), mark: z.enum(marks) }))

/** Gathers the bytes of {@link readGuest} on another host. */
export class Arrival {
  #bytes = Buffer.alloc(0)

  write(offset: number, data: Buffer): void {
    if (offset !== this.#bytes.length || offset + data.length > maxBytes) throw new Error('what came is no fake guest')
    this.#bytes = Buffer.concat([this.#bytes, data])
  }

  clear(): void {
    this.#bytes = Buffer.alloc(0)
  }

  /** The console, once all of it is there. */
  moments(sizeBytes: number): Moment[] {
    if (sizeBytes !== this.#bytes.length) throw new Error('it came only in part')
    try {
      return Moments.parse(JSON.parse(this.#bytes.toString()))
    } catch (e) {
      throw new Error('what came is no fake guest', { cause: e })
    }
  }
}
