import { CLIError } from '@oclif/core/errors'
import { Failure, RemoteError, reason } from '../core/base/errors.ts'
import { visible } from './cell-text.ts'
import { CommandError } from './command-error.ts'
import { writeError } from './terminal.ts'

/** Shows what went wrong as one line, what to do as a second, and says with which code to exit. */
export function showError(e: unknown, debug: boolean): number {
  const { text, hint, exitCode } = describeError(e)
  writeError(`nova: ${oneLine(text)}\n${hint ? `  ${oneLine(hint)}\n` : ''}`)
  if (debug && e instanceof Error && !(e instanceof CommandError)) writeError(`${stacks(e)}\n`)
  return exitCode
}

/** What went wrong, what to do about it, and with which code a command ends that can go no further. */
export function describeError(e: unknown): { text: string; hint: string | undefined; exitCode: number } {
  if (e instanceof CommandError) return e
  if (e instanceof Failure) return { text: e.message, hint: e.hint, exitCode: isMisuse(e) ? 2 : 1 }
  if (e instanceof RemoteError)
    return {
      text: e.message,
      hint: 'Its cause is in the log of the daemon that failed, under that request id.',
      exitCode: 1,
    }
  // Of the parser, before a command has its say.
  if (e instanceof CLIError) return { text: e.message, hint: 'All commands: nova --help', exitCode: 2 }
  const file = fileTrouble(e)
  if (file !== undefined)
    return { text: file, hint: 'Another place for all that nova keeps: NOVA_STATE_DIR=/a/directory', exitCode: 1 }
  const id = (e as { requestId?: string } | undefined)?.requestId
  return {
    text: `This is a bug in nova: ${reason(e)}${id ? ` (${id})` : ''}`,
    hint: 'Run it again with --debug to see where it comes from.',
    exitCode: 1,
  }
}

/** What a person can mend about a file or directory of this machine: permissions, a full or read-only disk. */
const mendable: ReadonlySet<string | undefined> = new Set(['EACCES', 'EPERM', 'EROFS', 'ENOSPC', 'EDQUOT', 'ENOTDIR'])

function fileTrouble(e: unknown): string | undefined {
  const { code, path, message = '' } = (e ?? {}) as NodeJS.ErrnoException
  if (path === undefined || !mendable.has(code)) return undefined
  return `Cannot use ${path}: ${message.replace(/^\w+: /, '').split(',')[0]}.`
}

/** What the person typed, or wrote into the configuration, was wrong. */
const isMisuse = (e: Failure): boolean => e.code === 'InvalidRequest' || e.code === 'ConfigInvalid'

function stacks(e: Error): string {
  const remote = e instanceof RemoteError ? `\n${e.remoteStack}` : ''
  const cause = e.cause instanceof Error ? `\nCaused by: ${stacks(e.cause)}` : ''
  return `${e.stack ?? e.message}${remote}${cause}`
}

const oneLine = (text: string): string => visible(text.replace(/\s*\n\s*/g, ' ').trim())
