import stringWidth from 'string-width'

const ascii = /^[\u0020-\u007e]*$/

/** How many columns of a terminal a line of text takes. Most text is ASCII, which is measured at once. */
export const widthOf = (text: string): number => (ascii.test(text) ? text.length : stringWidth(text))

/** What a reader takes for one letter, however many characters it has. */
export const letters = new Intl.Segmenter()
