type Given<T, K extends keyof T> = { [P in K]?: NonNullable<T[P]> }

/** Those of `keys` that have a value in `from`: what a person did not say is not sent. */
export function pickDefined<T extends object, K extends keyof T>(from: T, keys: readonly K[]): Given<T, K> {
  const found: Given<T, K> = {}
  for (const key of keys) {
    const value = from[key]
    if (value !== undefined && value !== null) found[key] = value
  }
  return found
}
