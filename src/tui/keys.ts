/** A key as it was pressed: the letter, or the name of what has none. */
export type Key = string

type Flags = Partial<
  Record<
    | 'upArrow'
    | 'downArrow'
    | 'pageUp'
    | 'pageDown'
    | 'home'
    | 'end'
    | 'return'
    | 'escape'
    | 'tab'
    | 'backspace'
    | 'delete'
    | 'ctrl'
    | 'shift'
    | 'leftArrow'
    | 'rightArrow',
    boolean
  >
>

/** The name of a key, as the terminal library tells it. Text that was pasted comes as it is. */
export function nameOf(input: string, key: Flags): Key {
  if (key.upArrow) return 'up'
  if (key.downArrow) return 'down'
  if (key.leftArrow) return 'left'
  if (key.rightArrow) return 'right'
  if (key.pageUp) return 'pageup'
  if (key.pageDown) return 'pagedown'
  if (key.home) return 'home'
  if (key.end) return 'end'
  if (key.return) return 'enter'
  if (key.escape) return 'esc'
  if (key.tab) return key.shift ? 'backtab' : 'tab'
  if (key.backspace || key.delete) return 'backspace'
  if (key.ctrl) return `ctrl-${input}`
  return input
}

/** What `?` shows. */
export const keyHelp: ReadonlyArray<
  readonly [title: string, rows: ReadonlyArray<readonly [keys: string, what: string]>]
> = [
  [
    'GO',
    [
      ['1 2 3 4 5, Tab', 'overview, instances, hosts, operations, events'],
      [':', 'go to a view by its name; :q ends'],
      ['up down, j k', 'one row; PgUp PgDn a page; g G the ends'],
      ['Enter, Esc', 'into it, and back out'],
      ['/', 'show only rows with these words; !word: without'],
      ['Space', 'choose several'],
      ['? q', 'this page; end'],
    ],
  ],
  [
    'INSTANCES',
    [
      ['p', 'pause, or let go on'],
      ['s', 'stop, or start'],
      ['r', 'reboot'],
      ['c', 'console, the whole page'],
      ['d', 'delete, after a question'],
    ],
  ],
  [
    'OPERATIONS',
    [
      ['x', 'cancel'],
      ['r', 'do again what failed or was cancelled'],
    ],
  ],
]

/** The last line of the screen. */
export const keyHints: Readonly<Record<string, string>> = {
  overview: '1-5 view  Enter instances  : go to  ? help  q quit',
  instances: 'Enter show  p pause  s stop/start  r reboot  c console  d delete  / filter  ? help',
  hosts: 'Enter its instances  / filter  : go to  ? help  q quit',
  operations: 'Enter show  x cancel  r retry  Space choose  / filter  ? help  q quit',
  events: 'Enter its instance  / filter  : go to  ? help  q quit',
  instance: 'Esc back  p pause  s stop/start  r reboot  c console  d delete  PgUp PgDn scroll',
  operation: 'Esc back  x cancel  r retry  ? help  q quit',
}
