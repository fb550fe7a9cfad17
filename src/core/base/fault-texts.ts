import { type Code, failures, type Row } from './errors.ts'

/**
 * The text of a failure of this code for the owner of what it befell: without paths, addresses and the words of other
 * programs. A code that is not ours is of a bug, whose text may say anything.
 */
export function textForOwners(code: string, text: string): string {
  if (!isCode(code)) return 'The cloud has failed: ask an administrator.'
  return (failures[code] as Row<never>).forOwners?.(text) ?? text
}

/** What to do about a failure that another process has told, with the thing that it befell; undefined if more is needed to say so. */
export function hintFor(code: string, thing: { id: string; name: string }): string | undefined {
  if (!isCode(code)) return undefined
  try {
    return (failures[code] as unknown as Row<typeof thing>).hint?.(thing)
  } catch {
    return undefined
  }
}

const isCode = (code: string): code is Code => Object.hasOwn(failures, code)
