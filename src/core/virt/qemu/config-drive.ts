/**
 * An ISO 9660 image with Joliet names, written by ourselves: a few small files on a labelled disk are all that a config
 * drive is, and no host needs a program for it. Layout: ECMA-119; Joliet is its supplementary descriptor with UCS-2 names.
 */
import { assert } from '../../base/errors.ts'

const sector = 2048
const sectors = (bytes: number): number => Math.ceil(bytes / sector)

type File = { name: string; data: Buffer; at: number }
type Dir = { name: string; parent: Dir | undefined; dirs: Dir[]; files: File[] }
/** How one of the two trees is written: its names, and the file identifier's tail. */
type Naming = { id: (name: string, isFile: boolean) => Buffer; text: (text: string, bytes: number) => Buffer }
/** A directory's place in one of the trees. */
type Places = Map<Dir, number>

const ucs2 = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16()
const padded = (text: Buffer, bytes: number, filler: Buffer): Buffer => {
  const out = Buffer.alloc(bytes, filler)
  text.copy(out, 0, 0, bytes)
  return out
}
const iso: Naming = {
  id: (name, isFile) => Buffer.from(`${name.toUpperCase()}${isFile ? ';1' : ''}`, 'latin1'),
  text: (text, bytes) => padded(Buffer.from(text, 'latin1'), bytes, Buffer.from(' ')),
}
const joliet: Naming = {
  id: (name, isFile) => ucs2(`${name}${isFile ? ';1' : ''}`),
  text: (text, bytes) => padded(ucs2(text), bytes, ucs2(' ')),
}

/** Numbers stand in both byte orders. */
const both16 = (n: number): Buffer => {
  const out = Buffer.alloc(4)
  out.writeUInt16LE(n, 0)
  out.writeUInt16BE(n, 2)
  return out
}
const both32 = (n: number): Buffer => {
  const out = Buffer.alloc(8)
  out.writeUInt32LE(n, 0)
  out.writeUInt32BE(n, 4)
  return out
}

function tree(files: ReadonlyMap<string, Buffer>): Dir {
  const root: Dir = { name: '', parent: undefined, dirs: [], files: [] }
  for (const path of [...files.keys()].sort()) {
    const names = path.split('/')
    const file = names.pop()
    assert(file, `no file name in "${path}"`)
    let dir = root
    for (const name of names) {
      let next = dir.dirs.find((d) => d.name === name)
      if (!next) {
        next = { name, parent: dir, dirs: [], files: [] }
        dir.dirs.push(next)
      }
      dir = next
    }
    dir.files.push({ name: file, data: files.get(path) ?? Buffer.alloc(0), at: 0 })
  }
  return root
}

/** All directories, parents before children: the order that path tables want. */
function levels(root: Dir): Dir[] {
  const out = [root]
  for (const dir of out) out.push(...dir.dirs)
  return out
}

function entry(id: Buffer, at: number, bytes: number, isDir: boolean): Buffer {
  const length = 33 + id.length + ((id.length + 1) % 2)
  const out = Buffer.alloc(length)
  out[0] = length
  both32(at).copy(out, 2)
  both32(bytes).copy(out, 10)
  out[25] = isDir ? 2 : 0
  both16(1).copy(out, 28)
  out[32] = id.length
  id.copy(out, 33)
  return out
}

function directory(dir: Dir, naming: Naming, places: Places): Buffer {
  const at = (d: Dir) => places.get(d) ?? 0
  const entries = [
    entry(Buffer.from([0]), at(dir), sector, true),
    entry(Buffer.from([1]), at(dir.parent ?? dir), sector, true),
    ...dir.dirs.map((d) => ({ id: naming.id(d.name, false), at: at(d), bytes: sector, isDir: true })),
    ...dir.files.map((f) => ({ id: naming.id(f.name, true), at: f.at, bytes: f.data.length, isDir: false })),
  ].map((e) => (Buffer.isBuffer(e) ? e : entry(e.id, e.at, e.bytes, e.isDir)))
  const out = Buffer.concat(entries)
  assert(out.length <= sector, 'a directory of a config drive fits in one sector')
  return padded(out, sector, Buffer.from([0]))
}

function pathTable(dirs: Dir[], naming: Naming, places: Places, bigEndian: boolean): Buffer {
  const rows = dirs.map((dir) => {
    const id = dir.parent ? naming.id(dir.name, false) : Buffer.from([0])
    const row = Buffer.alloc(8 + id.length + (id.length % 2))
    row[0] = id.length
    const parent = dirs.indexOf(dir.parent ?? dir) + 1
    if (bigEndian) {
      row.writeUInt32BE(places.get(dir) ?? 0, 2)
      row.writeUInt16BE(parent, 6)
    } else {
      row.writeUInt32LE(places.get(dir) ?? 0, 2)
      row.writeUInt16LE(parent, 6)
    }
    id.copy(row, 8)
    return row
  })
  return Buffer.concat(rows)
}

type Volume = { type: 1 | 2; label: string; total: number; tableAt: number; tableBytes: number; rootAt: number }

function descriptor(v: Volume, naming: Naming): Buffer {
  const out = Buffer.alloc(sector)
  out[0] = v.type
  out.write('CD001', 1, 'latin1')
  out[6] = 1
  naming.text('', 32).copy(out, 8)
  naming.text(v.label, 32).copy(out, 40)
  both32(v.total).copy(out, 80)
  // The escape sequence that says: names in UCS-2, level 3.
  if (v.type === 2) out.write('%/E', 88, 'latin1')
  both16(1).copy(out, 120)
  both16(1).copy(out, 124)
  both16(sector).copy(out, 128)
  both32(v.tableBytes).copy(out, 132)
  out.writeUInt32LE(v.tableAt, 140)
  out.writeUInt32BE(v.tableAt + 1, 148)
  entry(Buffer.from([0]), v.rootAt, sector, true).copy(out, 156)
  naming.text('', 623).copy(out, 190)
  // Four dates, each as digits: never.
  for (let at = 813; at < 881; at += 17) out.write('0'.repeat(16), at, 'latin1')
  out[881] = 1
  return out
}

/** The disk as bytes: `files` by path, under the volume name `label`. The same files give the same bytes. */
export function isoImage(label: string, files: ReadonlyMap<string, Buffer>): Buffer {
  const root = tree(files)
  const dirs = levels(root)
  // 16 empty sectors, three descriptors, two path tables a tree (a sector each), two trees of directories, the files.
  const tables = 19
  let next = tables + 4
  const place = (): Places => new Map(dirs.map((dir) => [dir, next++]))
  const isoPlaces = place()
  const jolietPlaces = place()
  const contents = dirs.flatMap((dir) => dir.files)
  for (const file of contents) {
    file.at = next
    next += sectors(file.data.length)
  }
  const out = Buffer.alloc(next * sector)
  const put = (data: Buffer, at: number) => data.copy(out, at * sector)
  const trees = [
    { type: 1 as const, naming: iso, places: isoPlaces, tableAt: tables },
    { type: 2 as const, naming: joliet, places: jolietPlaces, tableAt: tables + 2 },
  ]
  for (const { type, naming, places, tableAt } of trees) {
    const table = pathTable(dirs, naming, places, false)
    assert(table.length <= sector, 'the path table of a config drive fits in one sector')
    const rootAt = places.get(root) ?? 0
    put(descriptor({ type, label, total: next, tableAt, tableBytes: table.length, rootAt }, naming), 15 + type)
    put(table, tableAt)
    put(pathTable(dirs, naming, places, true), tableAt + 1)
    for (const dir of dirs) put(directory(dir, naming, places), places.get(dir) ?? 0)
  }
  put(Buffer.from('\xffCD001\x01', 'latin1'), 18)
  for (const file of contents) put(file.data, file.at)
  return out
}
