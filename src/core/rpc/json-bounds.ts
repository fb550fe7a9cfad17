/** Texts up to this length are not counted: they cannot cost much. */
const shortText = 64 << 10
/** Lists, objects and values of one message: a hundred thousand guests of a host, or a page of anything, have fewer. */
const valuesMax = 1_000_000
/** Nothing of ours is nested deeper than a few levels. */
const depthMax = 100

const quote = 0x22
const backslash = 0x5c
const comma = 0x2c
const openers = [0x5b, 0x7b]
const closers = [0x5d, 0x7d]

/**
 * Why a JSON text would cost far more memory than it has bytes: `[],[],…` takes forty times its size. Undefined if it
 * would not. Looks at no more than brackets, commas and the ends of strings; whether it is JSON at all is not asked.
 */
export function excess(text: string): string | undefined {
  if (text.length <= shortText) return undefined
  let values = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      for (at++; at < text.length && text.charCodeAt(at) !== quote; at++) if (text.charCodeAt(at) === backslash) at++
    } else if (code === comma) values++
    else if (openers.includes(code)) {
      values++
      if (++depth > depthMax) return `it is nested deeper than ${depthMax} levels`
    } else if (closers.includes(code)) depth--
    if (values > valuesMax) return `it has more than ${valuesMax} values`
  }
  return undefined
}
