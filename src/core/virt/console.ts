/** The most that is told of a console, in bytes. */
export const consoleMax = 1 << 20

/** The last `lines` lines of a text; a line break at the very end does not count as the start of one more. */
export function lastLines(text: string, lines: number | undefined): string {
  if (lines === undefined) return text
  if (lines <= 0) return ''
  let at = text.endsWith('\n') ? text.length - 1 : text.length
  for (let left = lines; left > 0; left -= 1) {
    at = at === 0 ? -1 : text.lastIndexOf('\n', at - 1)
    if (at < 0) return text
  }
  return text.slice(at + 1)
}
