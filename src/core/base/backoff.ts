/**
 * Milliseconds to wait after the `n`-th vain attempt (from 0): 0.1 s, doubled up to 5 s, less up to a half by chance, so that
 * not all come back at once. `random` is in [0, 1).
 */
export const backoffMs = (n: number, random: number): number =>
  Math.min(5_000, 100 * 2 ** Math.min(n, 10)) * (1 - random / 2)
