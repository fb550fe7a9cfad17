import { type DestinationStream, type Logger, pino } from 'pino'

/** Structured log. Fields first, then the sentence: `log.info({ operation }, 'claimed')`. */
export type Log = Logger

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Keys whose values are never written, down to three levels. */
const secrets = ['password', 'token', 'auth_token', 'userData', 'user_data', 'secret']

/** Opens the log of a process: JSON lines on stderr, or on `to`. */
export function openLog(level: LogLevel, to?: DestinationStream): Log {
  const paths = secrets.flatMap((key) => [key, `*.${key}`, `*.*.${key}`])
  return pino({ level, base: null, redact: { paths, censor: '[hidden]' } }, to ?? standardError())
}

/** How many bytes may wait if the log cannot be written; beyond that, lines are dropped. */
const unwrittenMax = 1 << 20

/** A full disk or a reader that has gone costs lines of the log, not the process. */
function standardError(): DestinationStream {
  const destination = pino.destination({ fd: 2, sync: true, maxLength: unwrittenMax })
  destination.on('error', () => undefined)
  return destination
}

/** A log that keeps nothing: for commands and tests. */
export const silentLog: Log = pino({ level: 'silent' })
