/** How many single-letter changes (insert, delete, replace, swap of neighbours) lead from one word to the other. */
export function distance(a: string, b: string): number {
  let [before, row]: [number[], number[]] = [[], Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1]
      let best = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (same ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, before[j - 2]! + 1)
      next.push(best)
    }
    ;[before, row] = [row, next]
  }
  return row[b.length]!
}

/** The names that somebody may have meant, nearest first, three at most. */
export function nearNames(meant: string, names: readonly string[]): string[] {
  const wanted = meant.toLowerCase()
  const allowed = Math.max(1, Math.floor(wanted.length / 3))
  return [...new Set(names)]
    .map((name) => ({ name, away: away(wanted, name.toLowerCase(), allowed) }))
    .filter(({ away }) => away <= allowed)
    .sort((a, b) => a.away - b.away || (a.name < b.name ? -1 : 1))
    .slice(0, 3)
    .map(({ name }) => name)
}

function away(wanted: string, name: string, allowed: number): number {
  if (wanted.length >= 3 && (name.startsWith(wanted) || name.endsWith(wanted))) return allowed
  return Math.abs(wanted.length - name.length) > allowed ? allowed + 1 : distance(wanted, name)
}
