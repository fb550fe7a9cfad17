/** A pressed key: the letter, or the name of a key without one. */
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

/** What the terminal sends before and after pasted text, as the terminal library hands it on. */
export const pasteMarks = { begin: '[200~', end: '[201~' } as const

/** The name of a key in the terminal library. Letters that were typed quickly arrive together. */
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
      ['up down, j k', 'one row; PgUp PgDn a page; g G first, last'],
      ['Enter, Esc', 'open, and back'],
      ['/', 'show only rows with these words; !word: without'],
      ['Space', 'select several'],
      ['? q Ctrl-Z', 'this page; quit; to the shell (fg comes back)'],
    ],
  ],
  [
    'INSTANCES',
    [
      ['p', 'pause or unpause'],
      ['s', 'stop or start'],
      ['r', 'reboot'],
      ['m', 'migrate to another host, after a question'],
      ['c', 'console, full screen'],
      ['d', 'delete, after a question'],
    ],
  ],
  [
    'OPERATIONS',
    [
      ['x', 'cancel'],
      ['r', 'retry a failed or cancelled operation'],
    ],
  ],
]

/** The last line of the screen. */
export const keyHints: Readonly<Record<string, string>> = {
  overview: '1-5 view  Enter instances  : go to  ? help  q quit',
  instances: 'p pause  s stop  r reboot  m migrate  c console  d delete  / filter  ? help',
  hosts: 'Enter its instances  / filter  : go to  ? help  q quit',
  operations: 'Enter show  x cancel  r retry  Space select  / filter  ? help  q quit',
  events: 'Enter its instance  / filter  : go to  ? help  q quit',
  instance: 'Esc back  p pause  s stop  r reboot  m migrate  c console  d delete  PgUp scroll',
  operation: 'Esc back  x cancel  r retry  ? help  q quit',
}
