import type { Decision } from '../core/contracts/shapes.ts'
import { cellText } from './cell-text.ts'
import { renderOne, renderRows } from './output.ts'
import type { Look, Row } from './view.ts'
import { decisionRow, verdictView } from './views.ts'

/**
 * Writes a decision record. For people: the chosen host and why, then a line per host with its verdict, reason and
 * weights. For programs: the whole record, with `extra` first. CSV and value have the hosts only.
 */
export async function renderDecision(decision: Decision, look: Look, extra: Row = {}): Promise<string> {
  if (look.format === 'csv' || look.format === 'value' || look.columns.length > 0)
    return renderRows(decision.hosts.map(verdictView.row), verdictView, look)
  const row = { ...extra, ...decisionRow(decision) }
  if (look.format !== 'table') return renderOne(row, { columns: Object.keys(row), table: [] }, look)
  const { view: columns, rows } = spread(decision)
  const { chosen, summary } = decision
  const choice =
    chosen === undefined
      ? found(decision)
        ? 'A host was chosen:'
        : 'No host can take it.'
      : `Chosen: ${chosen}${summary.startsWith(chosen) ? '' : '.'}`
  const why = chosen === undefined || !summary.startsWith(chosen) ? ` ${summary}` : summary.slice(chosen.length)
  return [
    `${cellText(choice + why)}\n`,
    decision.hosts.length > 0 ? await renderRows(rows, columns, look) : '',
    others(decision),
    decision.filters.length > 0 ? `Filters, in this order: ${decision.filters.join(', ')}\n` : '',
  ].join('')
}

/** Whether a host was chosen; not everybody may see which one. */
export const found = ({ chosen, placed }: Decision): boolean => chosen !== undefined || placed === true

/** Hosts that are counted but not listed: "And 980 more: 700 that can, 280 that cannot."; members see no others. */
function others({ hosts, counts }: Decision): string {
  if (counts === undefined || counts.hosts <= hosts.length) return ''
  const shown = hosts.filter(({ passed }) => passed).length
  const can = counts.passed - shown
  const cannot = counts.hosts - counts.passed - (hosts.length - shown)
  const parts = [can > 0 ? `${can} that can` : '', cannot > 0 ? `${cannot} that cannot` : ''].filter(Boolean)
  const why = counts.refused.map(({ hosts, group }) => `${hosts} ${group}`).join(', ')
  const all = can + cannot
  const these = hosts.length > 0 ? `And ${all} more` : all === 1 ? '1 host' : `${all} hosts`
  return [`${these}: ${parts.join(', ')}.\n`, why === '' ? '' : `${cellText(`All hosts that cannot: ${why}.`)}\n`].join(
    '',
  )
}

/** For people each weigher has a column of its own; the best host comes first, refused hosts last. */
function spread(decision: Decision) {
  const weighers = decision.weighers.filter((name) => decision.hosts.some((h) => h.weights?.[name] !== undefined))
  const hosts = [...decision.hosts].sort(
    (a, b) =>
      Number(b.host === decision.chosen) - Number(a.host === decision.chosen) ||
      Number(b.passed) - Number(a.passed) ||
      (b.weight ?? 0) - (a.weight ?? 0) ||
      a.host.localeCompare(b.host),
  )
  const rows = hosts.map((host) => {
    const { host: name, verdict, reason, filter, weight, weights } = verdictView.row(host)
    const why = reason === null || reason === undefined ? null : filter ? `${filter}: ${reason}` : reason
    const each = weighers.map((key) => [key, (weights as Row | null)?.[key] ?? null] as const)
    const chosen = host.host === decision.chosen ? 'chosen' : (verdict ?? null)
    return { host: name ?? null, verdict: chosen, reason: why, ...Object.fromEntries(each), weight: weight ?? null }
  })
  const keys = ['host', 'verdict', 'reason', ...weighers, 'weight']
  return { rows, view: { columns: keys, table: keys } }
}
