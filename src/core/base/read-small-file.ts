import { closeSync, openSync, readSync } from 'node:fs'

/**
 * A file that somebody else names, which may be a device without an end: fails with `EFBIG` above so many bytes, and as
 * open(2) and read(2) do.
 */
export function readSmallFile(path: string, most: number): Buffer {
  const file = openSync(path, 'r')
  try {
    const buffer = Buffer.allocUnsafe(most + 1)
    let filled = 0
    for (let read = 1; read > 0 && filled < buffer.length; filled += read)
      read = readSync(file, buffer, filled, buffer.length - filled, null)
    if (filled > most) throw Object.assign(new Error(`it has more than ${most} bytes`), { code: 'EFBIG' })
    return buffer.subarray(0, filled)
  } finally {
    closeSync(file)
  }
}
