import { CLIError } from '@oclif/core/errors'
import { Failure, RemoteError, reason } from '../core/base/errors.ts'
import { visible } from './cell-text.ts'
import { CommandError } from './command-error.ts'
import { writeError } from './terminal.ts'

/** Shows an error in one line, what to do in a second one, and returns the exit code. */
export function showError(e: unknown, debug: boolean): number {
  const { text, hint, exitCode } = describeError(e)
  writeError(`nova: ${oneLine(text)}\n${hint ? `  ${oneLine(hint)}\n` : ''}`)
  if (debug && e instanceof Error && !(e instanceof CommandError)) writeError(`${stacks(e)}\n`)
  return exitCode
}

/** The error, what to do about it, and the exit code of the command that it ends. */
export function describeError(e: unknown): { text: string; hint: string | undefined; exitCode: number } {
  if (e instanceof CommandError) return e
  if (e instanceof Failure) return { text: e.message, hint: e.hint, exitCode: isMisuse(e) ? 2 : 1 }
  if (e instanceof RemoteError)
    return {
      text: e.message,
      hint: 'The cause is in the log of the daemon that failed, under that request id.',
      exitCode: 1,
    }
  // From oclif's parser, before the command runs.
  if (e instanceof CLIError) return { text: e.message, hint: 'All commands: nova --help', exitCode: 2 }
  const file = fileTrouble(e)
  if (file !== undefined)
    return { text: file, hint: 'Use another state directory: NOVA_STATE_DIR=/a/directory', exitCode: 1 }
  const id = (e as { requestId?: string } | undefined)?.requestId
  return {
    text: `This is a bug in nova: ${reason(e)}${id ? ` (${id})` : ''}`,
    hint: 'Run it again with --debug to see the stack.',
    exitCode: 1,
  }
}

/** Problems with a file or directory that a person can fix: permissions, a full or read-only disk. */
const fixableByUser: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOSPC',
  'EDQUOT',
  'ENOTDIR',
])

function fileTrouble(e: unknown): string | undefined {
  const { code, path, message = '' } = (e ?? {}) as NodeJS.ErrnoException
  if (path === undefined || !fixableByUser.has(code)) return undefined
  return `Cannot use ${path}: ${message.replace(/^\w+: /, '').split(',')[0]}.`
}

/** Whether the command line or the configuration is wrong. */
const isMisuse = (e: Failure): boolean => e.code === 'InvalidRequest' || e.code === 'ConfigInvalid'

function stacks(e: Error): string {
  const remote = e instanceof RemoteError ? `\n${e.remoteStack}` : ''
  const cause = e.cause instanceof Error ? `\nCaused by: ${stacks(e.cause)}` : ''
  return `${e.stack ?? e.message}${remote}${cause}`
}

const oneLine = (text: string): string => visible(text.replace(/\s*\n\s*/g, ' ').trim())
