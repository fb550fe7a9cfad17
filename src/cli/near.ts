/** The words that a mistyped one may have meant, best first: a few letters away, or beginning with it. */
export function nearest(word: string, words: Iterable<string>, most = 3): string[] {
  const limit = Math.max(1, Math.floor(word.length / 3))
  const typed = word.toLowerCase()
  return [...new Set(words)]
    .map((candidate) => {
      const known = candidate.toLowerCase()
      const starts = typed.length > 1 && known.startsWith(typed)
      return { candidate, distance: starts ? 0.5 : distance(typed, known) }
    })
    .filter((row) => row.distance <= limit)
    .sort((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate))
    .slice(0, most)
    .map((row) => row.candidate)
}

/** `Did you mean a or b?`, or undefined where nothing is near. */
export const didYouMean = (names: readonly string[]): string | undefined =>
  names.length === 0 ? undefined : `Did you mean ${names.join(' or ')}?`

/** Letters to insert, remove, replace or swap (optimal string alignment). */
function distance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + change)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) least = Math.min(least, before[j - 2]! + 1)
      row.push(least)
    }
    before = above
    above = row
  }
  return above[b.length]!
}
