import { Box, Transform, useInput } from 'ink'
import { useEffect, useReducer } from 'react'
import { widthOf } from '../cli/text-width.ts'
import { layOut } from './columns.ts'
import { detailLines } from './detail-lines.ts'
import { keyHelp, keyHints, nameOf, pasteMarks } from './keys.ts'
import { overviewLines } from './overview.ts'
import { cell, clipped, type Paint, since } from './paint.ts'
import { outage } from './problems.ts'
import type { Session } from './session.ts'
import { type ListName, lists, type Rows, viewNames } from './views.ts'

/** What every part of the screen is drawn with. */
type Look = {
  readonly width: number
  readonly height: number
  readonly now: number
  readonly paint: Paint
}
type Part = { readonly session: Session; readonly look: Look }

/**
 * Lines as they are. ink measures every new text and keeps it for ever, which a screen that changes for days cannot
 * afford: ink gets a blank to measure for each line, and the real line replaces the blank when the screen is drawn.
 */
function Lines({ lines, width }: { lines: readonly string[]; width: number }) {
  if (lines.length === 0) return null
  return (
    <Transform transform={(_blank, index) => clipped(lines[index] ?? '', width)}>
      {Array.from(lines, () => ' ').join('\n')}
    </Transform>
  )
}

/** The current view, and the others. */
export function Header({ session, look: { width, paint } }: Part) {
  const tabs = viewNames.map((name, i) =>
    name === session.view ? paint('chosen', ` ${i + 1} ${name} `) : ` ${i + 1} ${name} `,
  )
  const taken = viewNames.reduce((sum, name) => sum + name.length + 4, 0)
  const title = 'nova'
  const room = width - taken
  return (
    <Lines
      width={width}
      lines={[`${tabs.join('')}${room > title.length ? paint('strong', cell(title, room - 1, 'right')) : ''}`]}
    />
  )
}

/** Why the data on the screen may be stale; nothing while all is well. */
export function Banner({ session, look: { width, paint, now } }: Part) {
  const { health } = session.feed
  const lost = outage(health)
  if (!lost) return null
  const age = `this data is ${since(now - health.lastPongAt)} old`
  return (
    <Lines
      width={width}
      lines={[paint('chosen', paint('bad', cell(` ! ${lost.text}; ${age}. ${lost.hint ?? ''}`, width)))]}
    />
  )
}

/** A list: its heading, and as many rows as fit. */
export function Table<K extends ListName>({ name, session, look }: Part & { name: K }) {
  const { width, height, paint, now } = look
  const { columns, idOf } = lists[name]
  const window = session.window(name, height - 2)
  const laid = layOut<Rows[K]>(columns as never, width - 2)
  const filter = session.filters[name]
  const range = window.total === 0 ? '0' : `${window.first + 1}-${window.first + window.rows.length} of ${window.total}`
  const chosen = session.marked.size > 0 ? `, ${session.marked.size} selected` : ''
  const title = cell(`${name} ${range}${filter ? `, filter "${filter}"` : ''}${chosen}`, width).trimEnd()
  const heading = laid.map(({ title, is, side }) => cell(title, is, side)).join(' ')
  const rows = window.rows.map((row, i) => {
    const mark = session.marked.has(idOf(row)) ? '*' : ' '
    const here = i === window.at
    // The whole row under the cursor is reversed: colours of single cells would leave holes.
    const cells = laid.map(({ draw, is }) =>
      draw(row, is, here ? { now, paint: (_tone, text) => text } : { now, paint }),
    )
    const line = cell(`${here ? '>' : ' '}${mark}`, 2) + cells.join(' ')
    return here ? paint('chosen', line) : line
  })
  return (
    <Lines width={width} lines={[paint('faint', title), `  ${paint('strong', heading)}`, ...rows].slice(0, height)} />
  )
}

/** What the keys do. */
export function Help({ look: { height, width, paint } }: Pick<Part, 'look'>) {
  const lines = keyHelp.flatMap(([title, rows]) => [
    paint('strong', title),
    ...rows.map(([keys, what]) => cell(`  ${cell(keys, 16)} ${what}`, width).trimEnd()),
    '',
  ])
  return <Lines width={width} lines={lines.slice(0, height)} />
}

/** The outcome of the last verb, or the text being typed; below it what to do, or the keys. */
export function Foot({ session, look: { width, paint } }: Part) {
  const { prompt, line } = session
  const hints = session.help ? 'Any key: back' : (keyHints[session.detail?.kind ?? session.view] ?? '')
  if (prompt) {
    const typed =
      prompt.kind === 'confirm'
        ? prompt.question
        : `${prompt.kind === 'filter' ? '/' : ':'}${prompt.text}${paint('chosen', ' ')}`
    const help =
      prompt.kind === 'confirm'
        ? ''
        : prompt.kind === 'filter'
          ? 'Enter keep  Esc undo'
          : `Views: ${viewNames.join(', ')}`
    return (
      <Lines
        width={width}
        lines={[
          prompt.kind === 'confirm' ? paint('strong', cell(typed, width)) : typed,
          paint('faint', cell(help, width)),
        ]}
      />
    )
  }
  const message = line ? paint(line.tone, cell(line.text, width).trimEnd()) : ''
  const below = line?.hint ? cell(line.hint, width).trimEnd() : paint('faint', cell(hints, width).trimEnd())
  // Text that does not fit continues in the line below if that line is free.
  const more = line && !line.hint && widthOf(line.text) > width ? line.text.slice(width - 1) : undefined
  return <Lines width={width} lines={[message, more ? paint(line!.tone, cell(more, width).trimEnd()) : below]} />
}

function Body({ session, look }: Part) {
  const { feed, detail, view } = session
  const { width } = look
  if (session.help) return <Help look={look} />
  if (!feed.health.complete) return <Lines width={width} lines={['Asking the cloud …']} />
  if (detail) {
    const { back, consoleOnly } = session
    return <Lines width={width} lines={detailLines(feed.world, detail, { ...look, back, consoleOnly })} />
  }
  if (view === 'overview') return <Lines width={width} lines={overviewLines(feed.world, feed.health, look)} />
  return <Table name={view} session={session} look={look} />
}

type AppProps = {
  readonly session: Session
  /** Called for each frame that is to be drawn. */
  readonly frames: (draw: () => void) => () => void
  readonly size: () => { columns: number; rows: number }
  readonly paint: Paint
}

/** The whole screen. */
export function App({ session, frames, size, paint }: AppProps) {
  const [, draw] = useReducer((count: number) => count + 1, 0)
  useEffect(() => frames(draw), [frames])
  useInput((input, key) => {
    const name = nameOf(input, key)
    if (input === pasteMarks.begin || input === pasteMarks.end) session.pasting = input === pasteMarks.begin
    else if (session.pasting && name !== 'esc' && name !== 'ctrl-c') session.paste(input)
    // Letters that were typed quickly arrive together.
    else if (name === input && !key.ctrl)
      session.type([...input].map((letter) => (lineEnds.has(letter) ? 'enter' : letter)))
    else session.type([name])
    draw()
  })
  const { columns: width, rows } = size()
  const now = session.feed.clock.now()
  const banner = outage(session.feed.health) ? 1 : 0
  const look: Look = { width, now, paint, height: Math.max(1, rows - 3 - banner) }
  if (width < 40 || rows < 8)
    return <Lines width={width} lines={[cell(`At least 40 columns and 8 lines are needed.`, width)]} />
  return (
    <Box flexDirection="column" width={width} height={rows} overflow="hidden">
      <Header session={session} look={look} />
      <Banner session={session} look={look} />
      <Box flexDirection="column" height={look.height} flexShrink={0}>
        <Body session={session} look={look} />
      </Box>
      <Foot session={session} look={look} />
    </Box>
  )
}

const lineEnds: ReadonlySet<string> = new Set(['\r', '\n'])
