import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { harmless } from '../../src/cli/cell-text.ts'
import { checkColumns, renderOne, renderRows } from '../../src/cli/output.ts'
import { formats, type Look, view } from '../../src/cli/view.ts'
import { instanceRows, instanceView, operationRows, operationTable } from '../../src/cli/views.ts'
import { anOperation, ids, webInstance, webSummary } from './stand-in.ts'

const look = (changes: Partial<Look> = {}): Look => ({
  format: 'table',
  columns: [],
  isTerminal: false,
  width: undefined,
  color: false,
  ...changes,
})
const rows = [
  instanceRows.row(webSummary),
  instanceRows.row({ ...webSummary, id: ids.db, name: 'db "1", old', task: 'pausing' }),
]
type Note = { id: number; text: string | undefined; tags: string[] }
const notes = view<Note, Record<string, (n: Note) => never>>(
  { id: (n) => n.id as never, text: (n) => n.text as never, tags: (n) => n.tags as never },
  ['id', 'text'],
)
const note = (changes: Partial<Note> = {}) => notes.row({ id: 7, text: 'plain', tags: ['a', 'b'], ...changes })

describe('a list', () => {
  test('is a table with the usual columns and plain borders', async () => {
    expect(await renderRows([note(), note({ id: 8, text: undefined })], notes, look())).toBe(
      [
        '+----+-------+',
        '| id | text  |',
        '+----+-------+',
        '| 7  | plain |',
        '| 8  | -     |',
        '+----+-------+',
        '',
      ].join('\n'),
    )
  })
  test('of nothing is still a table with its head', async () => {
    expect(await renderRows([], notes, look())).toContain('| id | text |')
  })
  test('has only the columns that were asked for, in that order', async () => {
    expect(await renderRows([note()], notes, look({ columns: ['text', 'id'] }))).toContain('| text  | id |')
    expect(await renderRows([note()], notes, look({ format: 'value', columns: ['tags', 'id'] }))).toBe('a, b 7\n')
  })
  test('as JSON has every column of every row, absent values as null', async () => {
    const json = JSON.parse(await renderRows(rows, instanceRows, look({ format: 'json' })))
    expect(json[0]).toEqual({
      id: ids.web,
      name: 'web',
      status: 'ACTIVE',
      task: null,
      power: 'RUNNING',
      host: 'host1',
      flavor: 'm1.nano',
      image: 'tiny',
      project_id: 'default',
      created_at: '2025-01-31T12:00:00.000Z',
      deleted_at: null,
    })
    expect(Object.keys(json[1])).toEqual([...instanceRows.columns])
    expect(JSON.parse(await renderRows([], instanceRows, look({ format: 'json' })))).toEqual([])
  })
  test('as YAML says the same as JSON', async () => {
    const yaml = await renderRows(rows, instanceRows, look({ format: 'yaml' }))
    expect(parse(yaml)).toEqual(JSON.parse(await renderRows(rows, instanceRows, look({ format: 'json' }))))
  })
  test('as CSV is quoted as RFC 4180 has it', async () => {
    const csv = await renderRows(
      [note({ text: 'a "b", c' }), note({ text: 'two\nlines', tags: [] }), note({ text: undefined })],
      notes,
      look({ format: 'csv' }),
    )
    expect(csv).toBe('id,text,tags\n7,"a ""b"", c","[""a"",""b""]"\n7,"two\nlines",[]\n7,,"[""a"",""b""]"\n')
  })
  test('as values is blank-separated, and an absent one keeps its place', async () => {
    expect(await renderRows([note({ text: undefined })], notes, look({ format: 'value' }))).toBe('7 -\n')
    expect(await renderRows([note({ text: undefined })], notes, look({ format: 'value', columns: ['text'] }))).toBe(
      '\n',
    )
    expect(await renderRows([], notes, look({ format: 'value' }))).toBe('')
  })
})

describe('one thing', () => {
  const row = instanceView.row(webInstance)
  test('is a table of its fields', async () => {
    const table = await renderOne(row, instanceView, look())
    expect(table).toContain('| name              | web ')
    expect(table).toContain('role=front, "A", tier=1')
  })
  test('as JSON is an object with every field', async () => {
    const json = JSON.parse(await renderOne(row, instanceView, look({ format: 'json' })))
    expect(Object.keys(json)).toEqual([...instanceView.columns])
    expect(json).toMatchObject({
      metadata: { role: 'front, "A"', tier: '1' },
      memory_mb: 64,
      fault: null,
      operation: null,
    })
  })
  test('as values is one a line', async () => {
    const columns = ['host', 'task', 'name']
    expect(await renderOne(row, instanceView, look({ format: 'value', columns }))).toBe('host1\n\nweb\n')
  })
  test('as CSV is a head and a line', async () => {
    expect(await renderOne(row, instanceView, look({ format: 'csv', columns: ['name', 'host'] }))).toBe(
      'name,host\nweb,host1\n',
    )
  })
})

describe('a terminal', () => {
  const widths = [200, 120, 100, 90, 80, 72, 60, 50]
  test.each(widths)('of %i columns never gets a broken table', async (width) => {
    for (const line of (await renderRows(rows, instanceRows, look({ width }))).split('\n'))
      expect(line.length).toBeLessThanOrEqual(width)
    for (const line of (await renderOne(instanceView.row(webInstance), instanceView, look({ width }))).split('\n'))
      expect(line.length).toBeLessThanOrEqual(width)
  })
  test('that is narrow shortens other columns before it breaks an id', async () => {
    expect(await renderRows(rows, instanceRows, look({ width: 100 }))).toContain(ids.web)
  })
  test('that is narrow leaves out columns without values first, then shortens ids, then says what it leaves out', async () => {
    const idle = rows.map((row) => ({ ...row, task: null }))
    const at = async (width: number) => renderRows(idle, instanceRows, look({ width }))
    expect(await at(80)).toMatch(/\| id +\| name +\| status \| power {3}\| host {2}\|\n/)
    expect(await at(80)).toContain(`| ${ids.web} | web`)
    expect(await at(60)).toContain(`| ${ids.web.slice(0, 8)} `)
    expect(await at(60)).not.toContain('Left out')
    expect((await at(42)).replaceAll('\n', ' ')).toContain('Left out, because the terminal is narrow: power, host.')
    // Whoever named the columns gets them, and no other.
    const chosen = { columns: ['id', 'task', 'name', 'status', 'power'] }
    expect(await renderRows(idle, instanceRows, look({ width: 84, ...chosen }))).toMatch(/\| id +\| task \| name/)
  })
  test.each([30, 40, 44, 60, 80])('of %i columns never gets an id in two pieces', async (width) => {
    const long = note({ text: `${'a sentence of many words '.repeat(3)}with ${ids.web} and ${ids.db}` })
    for (const drawn of [
      await renderRows([long], notes, look({ width })),
      await renderOne(long, notes, look({ width })),
      await renderOne(instanceView.row(webInstance), instanceView, look({ width })),
    ])
      expect(drawn).toContain(ids.web)
  })
  test('counts wide letters as the two columns that they take', async () => {
    const long = note({ text: '東京の大きな計算機 '.repeat(8) })
    const lines = (await renderRows([long], notes, look({ width: 40 }))).split('\n')
    for (const line of lines) expect(line.replace(/[\u0100-\uffff]/g, 'xx').length).toBeLessThanOrEqual(40)
    expect(lines.join('').match(/東/g)).toHaveLength(8)
  })
  test('that is narrow keeps its colours whole', async () => {
    const painted = await renderRows(rows, instanceRows, look({ width: 70, color: true }))
    expect(painted).toContain('| \u001b[32mACTIVE\u001b[39m |')
  })
  test('that is far too narrow gets the rows one below the other', async () => {
    const blocks = await renderRows(rows, instanceRows, look({ width: 15 }))
    expect(blocks).toContain('name: web\n')
  })
  test('with colours shows states in them, elsewhere there is no escape', async () => {
    expect(await renderRows(rows, instanceRows, look({ color: true }))).toContain('\u001b[32mACTIVE\u001b[39m')
    expect(await renderRows(rows, instanceRows, look())).not.toContain('\u001b')
  })
  test('is not steered by what a value holds', async () => {
    const evil = note({ text: 'x\u001b[2J\ty\nz' })
    expect(await renderRows([evil], notes, look())).toContain('x\\x1b[2J\\ty\\nz')
    expect(await renderRows([evil], notes, look({ format: 'value' }))).toBe('7 x\\x1b[2J\\ty\\nz\n')
    expect(harmless('a\u001b]0;title\u0007b\u001b[31mred\u001b[0m\r\nc')).toBe('abred\nc')
    expect(harmless('a\u202eb\u200bc\u2028d\te')).toBe('abcd\te')
    const turned = note({ text: 'x\u202egnp.exe \u009b2J \u{f0000}' })
    for (const format of ['table', 'value'] as const)
      expect(await renderRows([turned], notes, look({ format }))).toContain('x\\u{202e}gnp.exe \\x9b2J \\u{f0000}')
  })
  test('in no format a value can move the cursor of a terminal, and a program gets the value as it is', async () => {
    const text = 'a\u001b[2J\u009b\u202eb\u{f0000}\nc'
    // Of no known width, as a serial line is.
    const onTerminal = { isTerminal: true }
    for (const format of ['csv', 'yaml', 'json', 'value', 'table'] as const)
      for (const render of [
        renderRows([note({ text })], notes, look({ format, ...onTerminal })),
        renderOne(note({ text }), notes, look({ format, ...onTerminal })),
      ])
        expect((await render).replaceAll('\n', '')).not.toMatch(/[\p{C}]/u)
    const json = await renderOne(note({ text }), notes, look({ format: 'json', ...onTerminal }))
    expect(JSON.parse(json).text).toBe(text)
    expect(await renderRows([note({ text })], notes, look({ format: 'csv' }))).toContain(`"${text}"`)
    expect(parse(await renderOne(note({ text }), notes, look({ format: 'yaml' }))).text).toBe(text)
  })
})

test('a column that is not there is refused with those that are', () => {
  expect(() => checkColumns(['nmae'], instanceRows)).toThrow(
    expect.objectContaining({
      exitCode: 2,
      text: 'There is no column "nmae".',
      hint: expect.stringContaining('Did you mean name?'),
    }),
  )
  for (const format of formats) expect(format).toMatch(/^[a-z]+$/)
})

describe('operations in a list', () => {
  const onImage = anOperation({ kind: 'delete-image', subject: { kind: 'image', id: ids.image, name: 'tiny' } })
  const progress = { what: 'disk', doneBytes: 541_165_879, totalBytes: 1_288_490_188 }
  const head = async (...operations: Parameters<typeof operationTable>[0]) => {
    const view = operationTable(operations)
    return (await renderRows(operations.map(view.row), view, look())).split('\n')[1]!.split(/[ |]+/).filter(Boolean)
  }
  const usual = ['id', 'kind', 'subject_name', 'state', 'step', 'host', 'created_at']

  test('have columns for undoing and progress only if one of them has any', async () => {
    expect(await head(anOperation())).toEqual(usual)
    expect(await head(anOperation(), anOperation({ progress }))).toEqual([...usual, 'progress'])
    expect(await head(anOperation({ undoing: true }))).toEqual([...usual, 'undoing'])
    expect(operationTable([anOperation({ progress })]).row(anOperation({ progress })).progress).toBe(
      'disk 42 % of 1.2 GiB',
    )
  })
  test('name what they act on, and an instance by the keys of before as well', () => {
    expect(operationRows.row(anOperation())).toMatchObject({
      subject_kind: 'instance',
      subject_id: ids.web,
      subject_name: 'web',
      instance_id: ids.web,
      instance_name: 'web',
    })
    expect(operationRows.row(onImage)).toMatchObject({
      subject_kind: 'image',
      subject_id: ids.image,
      subject_name: 'tiny',
      instance_id: null,
      instance_name: null,
    })
  })
})
