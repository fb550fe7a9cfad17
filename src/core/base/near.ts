/** To measure two words of 255 letters takes a millisecond. */
const measuredMax = 64

/**
 * Words that a mistyped word may have meant, best first: it is a prefix of them, differs in a few letters, or is a
 * suffix.
 */
export function nearest(word: string, words: Iterable<string>, most = 3): string[] {
  const limit = Math.max(1, Math.floor(word.length / 3))
  const typed = word.toLowerCase()
  return [...new Set(words)]
    .map((candidate) => ({ candidate, away: away(typed, candidate.toLowerCase(), limit) }))
    .filter((row) => row.away <= limit)
    .sort((a, b) => a.away - b.away || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, most)
    .map((row) => row.candidate)
}

function away(typed: string, known: string, limit: number): number {
  if (typed.length > 1 && known.startsWith(typed)) return typed === known ? 0 : 0.5
  if (typed.length > 2 && known.endsWith(typed)) return limit
  // Such a large distance need not be measured, and nobody mistypes so long a word: there may be thousands of names.
  const isTooFar = Math.abs(typed.length - known.length) > limit || typed.length > measuredMax
  return isTooFar ? limit + 1 : distance(typed, known)
}

/**
 * The number of letters to insert, remove, replace or swap to turn one word into the other (optimal string alignment).
 */
export function distance(a: string, b: string): number {
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
