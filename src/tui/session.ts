import { widthOf } from '../cli/text-width.ts'
import type { InstanceSummary, OperationSummary } from '../core/contracts/shapes.ts'
import { isOpen } from '../core/model/operation.ts'
import { Actions, type Line } from './actions.ts'
import { atTop, type Cursor, move, settle } from './cursor.ts'
import { type Detail, openInstance, openOperation } from './detail.ts'
import type { Feed, Verb } from './feed.ts'
import type { Key } from './keys.ts'
import { cell } from './paint.ts'
import { outage } from './problems.ts'
import { type ListName, lists, type Rows, rowKeeper, type ViewName, viewNames } from './views.ts'

/** The text being typed, or the open question. */
export type Prompt =
  | { readonly kind: 'filter'; readonly text: string; readonly before: string }
  | { readonly kind: 'goto'; readonly text: string }
  | { readonly kind: 'confirm'; readonly question: string; readonly askedAt: number; readonly yes: () => void }

/** The visible rows, and which of them is selected. */
export type Window<T> = {
  readonly rows: readonly T[]
  readonly at: number
  readonly first: number
  readonly total: number
}

const words: Readonly<Record<string, ViewName | 'help' | 'quit'>> = {
  ...Object.fromEntries(viewNames.map((name) => [name, name])),
  vms: 'instances',
  servers: 'instances',
  ops: 'operations',
  help: 'help',
  quit: 'quit',
}

/** Nobody reads a question and answers it in less: such a key was not meant as an answer. */
export const answerAfterMs = 200
/** As many characters as a filter takes from the clipboard. */
const pasteMax = 255

/** What a person looks at and does: keys come in; `changed` is called when the screen must be redrawn. */
export class Session {
  readonly feed: Feed
  view: ViewName = 'overview'
  detail: Detail | undefined
  /** The console of the open instance, full screen. */
  consoleOnly = false
  /** How many lines the console is scrolled back. */
  back = 0
  help = false
  prompt: Prompt | undefined
  line: Line | undefined
  readonly filters: Record<ListName, string> = { instances: '', hosts: '', operations: '', events: '' }
  readonly marked = new Set<string>()
  readonly #cursors: Record<ListName, Cursor> = { instances: atTop, hosts: atTop, operations: atTop, events: atTop }
  readonly #rowsOf: ReturnType<typeof rowKeeper>
  readonly #actions: Actions
  readonly #changed: () => void
  readonly #quit: () => void
  readonly #suspend: () => void
  /** Rows that fit on the screen, as last drawn. */
  #page = 10

  constructor(feed: Feed, changed: () => void, quit: () => void, suspend: () => void = () => undefined) {
    this.feed = feed
    this.#changed = changed
    this.#quit = quit
    this.#suspend = suspend
    this.#rowsOf = rowKeeper(feed.world)
    this.#actions = new Actions(feed, (line) => {
      this.line = line
      changed()
    })
  }

  /** Whether something on the screen is in progress. */
  get waits(): boolean {
    const { world, health } = this.feed
    return outage(health) !== undefined || [...world.operations.values()].some(({ state }) => isOpen(state))
  }

  /** The part of a list that fits into `height` lines and contains the cursor. */
  window<K extends ListName>(name: K, height: number): Window<Rows[K]> {
    const rows = this.#rowsOf(name, this.filters[name])
    this.#page = Math.max(1, height)
    const { idOf } = lists[name]
    const before = this.#cursors[name]
    // The newest events stay visible until the cursor is moved.
    const top = name === 'events' && before.at === 0 ? atTop : before
    const cursor = settle(top, rows, idOf, this.#page)
    this.#cursors[name] = cursor
    return {
      rows: rows.slice(cursor.first, cursor.first + this.#page),
      at: cursor.at - cursor.first,
      first: cursor.first,
      total: rows.length,
    }
  }

  /** Whether the terminal has announced pasted text, and not its end. */
  pasting = false

  /**
   * Handles keys that arrived together. What changes an instance or an operation, and the answer to a question, must come
   * alone: text from the clipboard of a terminal that does not mark it, or from a cat on the keyboard, is no order.
   */
  type(keys: readonly Key[]): void {
    const alone = keys.length === 1
    for (const key of keys) {
      if (key === 'ctrl-c') this.#quit()
      else if (key === 'ctrl-z') this.#suspend()
      else if (this.prompt?.kind === 'confirm') this.#confirm(this.prompt, key, alone)
      else if (this.prompt) this.#answer(this.prompt, key)
      else if (this.help) this.help = false
      else if (!alone && this.#isOrder(key))
        this.line = {
          text: `"${key}" came with other keys, and was not heeded.`,
          hint: 'Press it alone.',
          tone: 'plain',
        }
      else this.#command(key)
    }
    this.pasting = false
    this.#changed()
  }

  /** Takes pasted text, which goes into the line that is being typed or else nowhere. */
  paste(text: string): void {
    if (this.prompt && this.prompt.kind !== 'confirm') {
      const plain = text.replace(/\p{C}/gu, ' ').slice(0, pasteMax)
      this.#edit(this.prompt, this.prompt.text + plain)
    } else this.line = { text: 'Pasted text was not heeded.', hint: 'Paste it after / to filter.', tone: 'plain' }
    this.#changed()
  }

  /** Whether a key acts on instances or operations here. */
  #isOrder(key: Key): boolean {
    const name = this.detail?.kind === 'operation' ? 'operations' : this.detail ? 'instances' : this.view
    return orders[name]?.has(key) ?? false
  }

  close(): void {
    this.detail?.close()
  }

  #command(key: Key): void {
    if (key === 'q') this.#quit()
    else if (key === '?') this.help = true
    else if (key === ':') this.prompt = { kind: 'goto', text: '' }
    else if (key === 'tab' || key === 'backtab') this.#turn(key === 'tab' ? 1 : -1)
    else if (/^[1-5]$/.test(key)) this.#go(viewNames[Number(key) - 1]!)
    else if (this.detail) this.#inDetail(this.detail, key)
    else if (this.view === 'overview') this.#inOverview(key)
    else this.#inList(this.view, key)
  }

  #turn(by: number): void {
    const at = viewNames.indexOf(this.view)
    this.#go(viewNames[(at + by + viewNames.length) % viewNames.length]!)
  }

  #go(view: ViewName): void {
    this.#leaveDetail()
    if (view !== this.view) this.marked.clear()
    this.view = view
  }

  #leaveDetail(): void {
    this.detail?.close()
    this.detail = undefined
    this.consoleOnly = false
    this.back = 0
  }

  #inOverview(key: Key): void {
    if (key === 'enter') this.#go('instances')
  }

  #inList(name: ListName, key: Key): void {
    const rows = this.#rowsOf(name, this.filters[name]) as readonly Rows[ListName][]
    const idOf = lists[name].idOf as (row: Rows[ListName]) => string
    const by = steps(key, this.#page, rows.length)
    if (by !== undefined) {
      this.#cursors[name] = move(this.#cursors[name], rows, idOf, by)
      return
    }
    if (key === '/') this.prompt = { kind: 'filter', text: this.filters[name], before: this.filters[name] }
    else if (key === 'esc') this.#retreat(name)
    else if (key === ' ') this.#mark(name, rows, idOf)
    else if (key === 'enter') this.#enter(name)
    else if (name === 'instances') this.#verb(key, this.#chosen('instances'))
    else if (name === 'operations') this.#operationVerb(key, this.#chosen('operations'))
  }

  /** Esc undoes one thing at a time: the selection, then the filter, then the view. */
  #retreat(name: ListName): void {
    if (this.marked.size > 0) this.marked.clear()
    else if (this.filters[name] !== '') this.filters[name] = ''
    else if (this.line) this.line = undefined
    else this.#go('overview')
  }

  #mark(name: ListName, rows: readonly Rows[ListName][], idOf: (row: Rows[ListName]) => string): void {
    const row = rows[this.#cursors[name].at]
    if (!row || (name !== 'instances' && name !== 'operations')) return
    const id = idOf(row)
    if (!this.marked.delete(id)) this.marked.add(id)
    this.#cursors[name] = move(this.#cursors[name], rows, idOf, 1)
  }

  /** The rows a verb applies to: the selected ones, or else the one under the cursor. */
  #chosen<K extends 'instances' | 'operations'>(name: K): readonly Rows[K][] {
    const rows = this.#rowsOf(name, this.filters[name])
    if (this.marked.size > 0) return this.#rowsOf(name, this.filters[name]).filter((row) => this.marked.has(row.id))
    const row = this.#under(name, rows)
    return row ? [row] : []
  }

  /** The row that was under the cursor when the screen was drawn, not one that has moved there since. */
  #under<K extends ListName>(name: K, rows: readonly Rows[K][]): Rows[K] | undefined {
    const { id, at } = this.#cursors[name]
    const { idOf } = lists[name]
    const row = rows[at]
    return row && idOf(row) === id ? row : rows.find((other) => idOf(other) === id)
  }

  #enter(name: ListName): void {
    const row = this.#under(name, this.#rowsOf(name, this.filters[name]))
    if (!row) return
    if (name === 'instances') this.#show('instance', (row as InstanceSummary).id)
    else if (name === 'operations') this.#show('operation', (row as OperationSummary).id)
    else if (name === 'events') {
      const { instanceId } = row as Rows['events']
      if (instanceId !== undefined) this.#show('instance', instanceId)
    } else {
      this.filters.instances = (row as Rows['hosts']).name
      this.#go('instances')
    }
  }

  #show(kind: Detail['kind'], id: string): void {
    this.#leaveDetail()
    const open = kind === 'instance' ? openInstance : openOperation
    this.detail = open(this.feed, id, this.#changed)
  }

  #inDetail(detail: Detail, key: Key): void {
    if (key === 'esc') {
      if (this.consoleOnly) this.consoleOnly = false
      else this.#leaveDetail()
      this.back = 0
      return
    }
    const by = steps(key, this.#page, detail.console.length)
    if (by !== undefined) {
      this.back = Math.min(Math.max(0, this.back - by), Math.max(0, detail.console.length - 1))
      return
    }
    if (detail.kind === 'operation') {
      const row = detail.operations[0] ?? this.feed.world.operations.get(detail.id)
      this.#operationVerb(key, row ? [row] : [])
    } else {
      const row = this.feed.world.instances.get(detail.id)
      if (row) this.#verb(key, [row])
    }
  }

  #verb(key: Key, rows: readonly InstanceSummary[]): void {
    const [first] = rows
    if (!first) return
    const begin = (verbFor: (row: InstanceSummary) => Verb): void => {
      this.marked.clear()
      void this.#actions.begin(rows, verbFor)
    }
    if (key === 'p') begin(({ status }) => (status === 'PAUSED' ? 'unpause' : 'pause'))
    else if (key === 's') begin(({ status }) => (status === 'SHUTOFF' ? 'start' : 'stop'))
    else if (key === 'r') begin(() => 'reboot')
    else if (key === 'm') {
      this.#ask(`Migrate ${nameOrCount(rows)} to another host, shut down meanwhile?`, () => begin(() => 'migrate'))
    } else if (key === 'c') {
      if (this.detail?.id !== first.id) this.#show('instance', first.id)
      this.consoleOnly = !this.consoleOnly
      this.back = 0
    } else if (key === 'd' || key === 'ctrl-d') {
      const disks = rows.length === 1 ? 'its disk' : 'their disks'
      this.#ask(`Delete ${nameOrCount(rows)}, with ${disks}?`, () => begin(() => 'delete'))
    }
  }

  #ask(question: string, yes: () => void): void {
    this.prompt = { kind: 'confirm', question: `${question} y/n`, askedAt: this.feed.clock.now(), yes }
  }

  #confirm({ askedAt, yes }: Prompt & { kind: 'confirm' }, key: Key, alone: boolean): void {
    if (!alone || this.feed.clock.now() - askedAt < answerAfterMs) return
    this.prompt = undefined
    if (key === 'y' || key === 'Y') yes()
    else this.line = { text: 'Nothing was changed.', tone: 'plain' }
  }

  #operationVerb(key: Key, rows: readonly OperationSummary[]): void {
    if (rows.length === 0 || (key !== 'x' && key !== 'r')) return
    this.marked.clear()
    void (key === 'x' ? this.#actions.cancel(rows) : this.#actions.retry(rows))
  }

  #answer(prompt: Exclude<Prompt, { kind: 'confirm' }>, key: Key): void {
    if (key === 'esc') {
      if (prompt.kind === 'filter' && this.view !== 'overview') this.filters[this.view] = prompt.before
      this.prompt = undefined
      return
    }
    if (key === 'enter') {
      this.prompt = undefined
      if (prompt.kind === 'goto') this.#goTo(prompt.text)
      return
    }
    if (key === 'tab' && prompt.kind === 'goto') this.#edit(prompt, completed(prompt.text))
    else if (key === 'backspace') this.#edit(prompt, [...prompt.text].slice(0, -1).join(''))
    else if (key === 'ctrl-u') this.#edit(prompt, '')
    else if (!named.has(key) && !key.startsWith('ctrl-')) this.#edit(prompt, prompt.text + key)
  }

  #edit(prompt: Exclude<Prompt, { kind: 'confirm' }>, text: string): void {
    this.prompt = { ...prompt, text }
    if (prompt.kind === 'filter' && this.view !== 'overview') this.filters[this.view] = text
  }

  #goTo(typed: string): void {
    const word = typed.trim()
    const found = words[completed(word)]
    if (found === 'quit') this.#quit()
    else if (found === 'help') this.help = true
    else if (found) this.#go(found)
    else if (word !== '')
      this.line = { text: `There is no view "${word}".`, hint: `Views: ${viewNames.join(', ')}`, tone: 'bad' }
  }
}

/** The instances of a question. However long the name, the end of the question stays visible. */
const nameOrCount = (rows: readonly InstanceSummary[]): string =>
  rows.length === 1 ? cell(rows[0]!.name, Math.min(widthOf(rows[0]!.name), 28)) : `${rows.length} instances`

const named: ReadonlySet<Key> = new Set(
  'up down left right pageup pagedown home end enter esc tab backtab backspace'.split(' '),
)

/** The keys that act on rows, by the list that has those rows. */
const orders: Partial<Record<ViewName, ReadonlySet<Key>>> = {
  instances: new Set(['p', 's', 'r', 'm', 'd', 'ctrl-d']),
  operations: new Set(['x', 'r']),
}

/** The completion of a word, as far as it is unambiguous. */
const completed = (typed: string): string => {
  const word = typed.trim().toLowerCase()
  return Object.keys(words).find((known) => word !== '' && known.startsWith(word)) ?? word
}

/** How many rows a key moves; undefined if the key does not move. */
function steps(key: Key, page: number, all: number): number | undefined {
  if (key === 'up' || key === 'k') return -1
  if (key === 'down' || key === 'j') return 1
  if (key === 'pageup' || key === 'ctrl-b') return -page
  if (key === 'pagedown' || key === 'ctrl-f') return page
  if (key === 'home' || key === 'g') return -all
  if (key === 'end' || key === 'G') return all
  return undefined
}
