type Given<T, K extends keyof T> = { [P in K]?: NonNullable<T[P]> }

/** The `keys` of `from` that have a value: flags that were not given are not sent. */
export function pickDefined<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Given<T, K> {
  const found: Given<T, K> = {}
  for (const key of keys) {
    const value = from[key]
    if (value !== undefined && value !== null) found[key] = value
  }
  return found
}
