import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { systemIds } from '../../../src/core/base/ids.ts'
import { claimImageDirectory } from '../../../src/core/conductor/image-directory.ts'
import type { Db } from '../../../src/core/db/open.ts'
import { databases } from '../../kit/databases.ts'
import { rigsOf } from './rig.ts'

const made: string[] = []
const directory = (): string => {
  made.push(mkdtempSync(join(tmpdir(), 'nv-')))
  return made.at(-1)!
}
afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true })
})

const claim = (db: Db, dir: string) => claimImageDirectory(db, systemIds, dir, 'nova.toml')
const mark = 'nova-images.id'

describe.each(await databases())('the directory of image files, on $name', (database) => {
  const start = rigsOf(database)

  test('is shared by all conductors, also by those that start at once', async () => {
    const [{ db }, dir] = [await start(), directory()]
    await Promise.all(Array.from({ length: 5 }, () => claim(db, dir)))
    await claim(db, dir)
    expect(readdirSync(dir)).toEqual([mark])
    expect(readFileSync(join(dir, mark), 'utf8')).toMatch(/^[0-9a-f-]{36}\n$/)
  })

  test('is not another one: that conductor does not start, and says how to go on', async () => {
    const [{ db }, dir, other] = [await start(), directory(), directory()]
    await claim(db, dir)
    const id = readFileSync(join(dir, mark), 'utf8').trim()
    const refusal = {
      code: 'ConfigInvalid',
      message: expect.stringContaining(`conductor.image_dir = ${other} (nova.toml)`),
      hint: expect.stringContaining(`echo ${id} > ${join(other, mark)}`),
    }
    await expect(claim(db, other)).rejects.toMatchObject(refusal)
    expect(readdirSync(other)).toEqual([])
    writeFileSync(join(other, mark), 'of-another-cloud\n')
    await expect(claim(db, other)).rejects.toMatchObject(refusal)
    writeFileSync(join(other, mark), `${id}\n`)
    await claim(db, other)
  })

  test('is one of two that are new at the same time', async () => {
    const [{ db }, ...dirs] = [await start(), directory(), directory()]
    const ended = await Promise.allSettled(dirs.map((dir) => claim(db, dir)))
    expect(ended.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    const chosen = dirs[ended.findIndex(({ status }) => status === 'fulfilled')]!
    await claim(db, chosen)
  })

  test('keeps its id if the database is new', async () => {
    const [{ db }, dir] = [await start(), directory()]
    writeFileSync(join(dir, mark), 'from-before\n')
    await claim(db, dir)
    expect(readFileSync(join(dir, mark), 'utf8')).toBe('from-before\n')
    await expect(claim(db, directory())).rejects.toMatchObject({ hint: expect.stringContaining('from-before') })
  })
})
