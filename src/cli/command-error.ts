/** The error that ends a command: one line for the person, one line with what to do, and the exit code. */
export class CommandError extends Error {
  /** The line; kept apart from `message`, which oclif's parser rewrites. */
  readonly text: string
  readonly hint: string | undefined
  readonly exitCode: number

  constructor(text: string, hint: string | undefined, exitCode: number, cause?: unknown) {
    super(text, { cause })
    this.name = 'CommandError'
    this.text = text
    this.hint = hint
    this.exitCode = exitCode
  }
}

/** A usage error: exit code 2. `hint` says what is allowed and what to do. */
export function misuse(text: string, hint?: string): never {
  throw new CommandError(text, hint, 2)
}
