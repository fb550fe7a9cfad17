import { Command } from '@oclif/core/command'
import { Config as OclifConfig } from '@oclif/core/config'
import type { Input, ParserOutput } from '@oclif/core/interfaces'
import { parse } from '@oclif/core/parser'
import { systemClock } from '../core/base/clock.ts'
import { systemIds } from '../core/base/ids.ts'
import type { Config } from '../core/config/load.ts'
import type { conductor } from '../core/contracts/conductor.ts'
import type { OperationSummary } from '../core/contracts/shapes.ts'
import { type Context, identityForm, isIdentity } from '../core/model/context.ts'
import type { Bus } from '../core/rpc/bus.ts'
import type { Args, Result } from '../core/rpc/contract.ts'
import { askAgain, mayRepeat } from './again.ts'
import { cellText, visible } from './cell-text.ts'
import { misuse } from './command-error.ts'
import { globalFlags } from './flags.ts'
import { openBus, visibleTo } from './link.ts'
import { checkColumns, renderOne, renderRows } from './output.ts'
import type { Progress } from './progress.ts'
import { showError } from './show-error.ts'
import { outputTerminal, writeError, writeOut } from './terminal.ts'
import { didYouMean, explainUsage } from './usage.ts'
import type { Look, View } from './view.ts'
import type { WaitOptions } from './wait.ts'

type Parsed = Record<string, unknown>
type Cloud = typeof conductor
type Method = keyof Cloud['methods']
type GlobalFlags = Pick<ParserOutput['flags'], keyof typeof globalFlags> & {
  debug: boolean
  config: string | undefined
  project: string
  role: string
  timeout: number | undefined
  format: Look['format']
  column: string[] | string | undefined
}

/** A command that has waited for its answer so long says why, if the bus is the cause; in ms. */
const silenceMs = 3_000

/** The variables of the environment that set flags. */
const variablesOf = (flags: object): string[] =>
  Object.values(flags as Record<string, { env?: string }>).flatMap(({ env }) => env ?? [])

/**
 * What all commands share: each parses its command line, asks the conductor, and shows the answer. The bus is connected
 * at the first question, once, and closed at the end, whatever happens. Errors are not caught here: `main.ts` shows
 * them all in one way.
 */
export abstract class NovaCommand extends Command {
  static override baseFlags = globalFlags
  /** How the command's answer is shown; `-c` takes its columns. */
  static readonly view: Pick<View<never>, 'columns' | 'table'> | undefined

  protected readonly clock = systemClock
  readonly #requestId = systemIds.requestId()
  #flags: GlobalFlags | undefined
  #config: Config | undefined
  #bus: Promise<Bus> | undefined

  /** Reads the command line. A wrong one fails here, before the conductor is asked; so do unknown columns. */
  protected override async parse<F extends Parsed, B extends Parsed, A extends Parsed>(
    options?: Input<F, B, A>,
    argv?: string[],
  ): Promise<ParserOutput<F, B, A>> {
    try {
      // oclif copies only a class's own properties, and most of these are inherited.
      const { args, flags, baseFlags, strict } = (options ?? this.ctor) as Input<F, B, A>
      const all = { ...flags, ...baseFlags }
      const input = { context: this, args, flags: all, strict } as unknown as Input<F, B, A>
      const parsed = (await parse(argv ?? this.argv, input as never)) as ParserOutput<F, B, A>
      this.#flags = parsed.flags as unknown as GlobalFlags
      const view = (this.ctor as typeof NovaCommand).view
      if (view) checkColumns(this.look.columns, view)
      return parsed
    } catch (e) {
      const flags = { ...this.ctor.baseFlags, ...this.ctor.flags }
      throw explainUsage(e, { id: this.id ?? '', args: this.ctor.args, flags })
    }
  }

  /** The flags that every command takes. */
  protected get common(): GlobalFlags {
    if (!this.#flags) throw new Error('bug: parse first')
    return this.#flags
  }

  /** The caller, the project and the request id. */
  protected async context(): Promise<Context> {
    const { userName } = await import('../core/config/load.ts')
    const { project, role } = this.common
    if (!isIdentity(project)) misuse(`--project must be ${identityForm}.`)
    return {
      requestId: this.#requestId,
      userId: userName(),
      projectId: project,
      roles: [role],
      isAdmin: role === 'admin',
    }
  }

  /** How to write the answer. */
  protected get look(): Look {
    const { format, column } = this.common
    const columns = [column ?? []].flat().flatMap((keys) => keys.split(','))
    return { format, columns, ...outputTerminal() }
  }

  /** Whether a person reads the answer as it comes, not a program. */
  protected get forPeople(): boolean {
    return this.look.format === 'table' && this.look.columns.length === 0
  }

  /** `--timeout` in milliseconds; undefined if not given. */
  protected get timeoutMs(): number | undefined {
    const { timeout } = this.common
    return timeout === undefined ? undefined : Math.ceil(timeout * 1000)
  }

  /** The options of this process; `overrides` come from flags: `{ 'compute.driver': 'fake' }`. */
  protected async settings(overrides: Readonly<Record<string, unknown>> = {}): Promise<Config> {
    if (this.#config) return this.#config
    const { loadConfig } = await import('../core/config/load.ts')
    this.#config = await loadConfig({ file: this.common.config, overrides })
    await this.noteUnknownVariables()
    return this.#config
  }

  /** A mistyped variable is silent otherwise: the option that it was meant for stays at its default. */
  private async noteUnknownVariables(): Promise<void> {
    const { unknownVariables } = await import('../core/config/variables.ts')
    const own = { ...this.ctor.baseFlags, ...this.ctor.flags }
    if (unknownVariables(variablesOf(own)).length === 0) return
    // It may be a flag of another command: they are listed only now, which takes a moment.
    const { commands } = await OclifConfig.load(this.config.root)
    for (const { name, near } of unknownVariables(commands.flatMap(({ flags }) => variablesOf(flags))))
      this.note(
        `${visible(name)} is in the environment, but nova has no such variable. ${didYouMean(near) ?? 'All variables: nova config docs'}`,
      )
  }

  /** The bus, connected at first use; if that fails, the next use tries again. */
  protected bus(): Promise<Bus> {
    if (this.#bus) return this.#bus
    const connecting = this.settings().then(async (config) =>
      visibleTo(await this.context(), await openBus(config, this.timeoutMs, this.common.debug)),
    )
    connecting.catch(() => {
      this.#bus = undefined
    })
    this.#bus = connecting
    return connecting
  }

  /**
   * Asks the conductor one question; waits `timeoutMs` for the answer, or as long as `--timeout` says. Fails with the
   * failure of the conductor, or of the bus.
   */
  protected async ask<K extends Method>(
    method: K,
    args: Args<Cloud, K>,
    timeoutMs = this.timeoutMs,
  ): Promise<Result<Cloud, K>> {
    const connecting = this.bus()
    // A failure to connect is thrown below; the contract loads in the meantime.
    connecting.catch(() => undefined)
    const { conductor } = await import('../core/contracts/conductor.ts')
    const bus = await connecting
    const api = bus.client(conductor)
    const ctx = await this.context()
    const began = this.clock.now()
    const call = api[method] as (ctx: Context, args: unknown, options?: { timeoutMs?: number }) => Promise<unknown>
    const ask = async (leftMs?: number): Promise<Result<Cloud, K>> => {
      const ms = leftMs === undefined ? timeoutMs : Math.min(leftMs, timeoutMs ?? leftMs)
      return (await call(ctx, args, ms === undefined ? {} : { timeoutMs: ms })) as Result<Cloud, K>
    }
    const explained = this.clock.after(silenceMs, () => {
      if (bus.blocked !== undefined) this.note(`Waiting: ${cellText(bus.blocked)}, and accepts no messages.`)
    })
    try {
      return await (this.repeats && mayRepeat(conductor.methods[method], args as object)
        ? this.askAgain(ask, began, timeoutMs)
        : ask())
    } finally {
      explained()
      if (this.common.debug) this.note(`${method} took ${this.clock.now() - began} ms (${this.#requestId})`)
    }
  }

  /** Whether a question is asked again after a failure that may pass; false if the command shows such failures itself. */
  protected readonly repeats: boolean = true

  private async askAgain<T>(
    ask: (leftMs?: number) => Promise<T>,
    began: number,
    timeoutMs: number | undefined,
  ): Promise<T> {
    const until = timeoutMs === undefined ? undefined : began + timeoutMs
    let progress: Progress | undefined
    try {
      return await askAgain({ clock: this.clock, ids: systemIds, until }, ask, async (what) => {
        const { openProgress } = await import('./progress.ts')
        progress ??= openProgress(this.clock)
        progress.show(what)
      })
    } finally {
      progress?.end()
    }
  }

  /** The whole id of an operation of which a person has typed the beginning. */
  protected async operationId(typed: string): Promise<string> {
    return typed.length === 36 ? typed : (await this.ask('operationFind', { operation: typed })).id
  }

  /** Waits for operations to end, with a progress line on a terminal. Ctrl-C ends the waiting, not the operations. */
  protected async follow(ids: readonly string[]): Promise<OperationSummary[]> {
    const [{ awaitOperations }, { showOperations }] = await Promise.all([import('./wait.ts'), import('./progress.ts')])
    const show = (id: string) => this.ask('operationShow', { operation: id })
    return this.waiting((bus, progress, options) =>
      awaitOperations({ bus, clock: this.clock, show, onProgress: showOperations(progress, ids) }, ids, options),
    )
  }

  /** Runs something that waits: with a progress line, until `--timeout` or Ctrl-C. */
  protected async waiting<T>(work: (bus: Bus, progress: Progress, options: WaitOptions) => Promise<T>): Promise<T> {
    const { openProgress } = await import('./progress.ts')
    const bus = await this.bus()
    const stop = new AbortController()
    const onSignal = (): void => stop.abort()
    process.once('SIGINT', onSignal)
    const progress = openProgress(this.clock)
    try {
      return await work(bus, progress, { timeoutMs: this.timeoutMs, signal: stop.signal })
    } finally {
      process.off('SIGINT', onSignal)
      progress.end()
    }
  }

  /** Shows a list. */
  protected async showRows<T>(view: View<T>, things: readonly T[]): Promise<void> {
    this.write(await renderRows(things.map(view.row), view, this.look))
  }

  /** Shows one thing. */
  protected async showOne<T>(view: View<T>, thing: T): Promise<void> {
    this.write(await renderOne(view.row(thing), view, this.look))
  }

  /** Writes to standard output as it is. */
  protected write(text: string): void {
    writeOut(text)
  }

  /** A remark beside the answer: a line on standard error, so that pipes stay clean. */
  protected note(text: string): void {
    writeError(`${text}\n`)
  }

  /** Reports a failure that does not end the command; the exit code becomes 1. */
  protected reportFailure(e: unknown): undefined {
    showError(e, this.common.debug)
    process.exitCode = 1
  }

  /** Runs the command with the words after its name. */
  static async start(
    this: new (
      argv: string[],
      config: OclifConfig,
    ) => NovaCommand,
    argv: readonly string[],
    config: OclifConfig,
    id: string,
  ): Promise<void> {
    const command = new this([...argv], config)
    command.id = id
    try {
      await command.run()
    } catch (e) {
      if (e instanceof Error && !('requestId' in e))
        Object.defineProperty(e, 'requestId', { value: command.#requestId })
      throw e
    } finally {
      const bus = await command.#bus?.catch(() => undefined)
      await bus?.close().catch(() => undefined)
    }
  }
}
