/** A path or a name as a word that a person can paste into a shell: in quotes if it has more than letters and the like. */
export const shellWord = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : quoted(text))

/** A text in single quotes of a shell. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
