import { nearest } from '../base/near.ts'
import { optionRows } from './schema.ts'

/** Variables of the program itself, and of its own tests. */
const others = /^NOVA_(STATE_DIR|CONFIG|DEBUG|REQUIRE|GOLDEN|TEST_.*)$/

/**
 * Variables of the environment that look like nova's and mean nothing to it, with the names that they may have been meant
 * as. `known`: further names, those of flags.
 */
export function unknownVariables(
  known: readonly string[],
  env: Readonly<Record<string, string | undefined>> = process.env,
): Array<{ name: string; near: string[] }> {
  const ours = Object.keys(env).filter((name) => name.startsWith('NOVA_') && !others.test(name))
  if (ours.length === 0) return []
  const names = new Set([...optionRows().map((row) => row.env), ...known])
  return ours.filter((name) => !names.has(name)).map((name) => ({ name, near: nearest(name, names, 1) }))
}
