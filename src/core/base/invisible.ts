/**
 * Characters that nobody sees, or that move what stands beside them: controls, formats (bidirectional marks, zero width),
 * ends of lines and paragraphs, halves of characters, and those whose meaning is private.
 */
export const invisible = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu

/**
 * Whether a text may be a name or an id: all of it is to be seen, no blank stands at either end (MySQL takes `web` and `web `
 * for the same), and no byte of it was lost (U+FFFD stands for bytes that were no UTF-8).
 */
export const isPlain = (text: string): boolean =>
  text.search(invisible) < 0 && !text.includes('\ufffd') && text.trim() === text
