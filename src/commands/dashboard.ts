import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../cli/command.ts'
import { misuse } from '../cli/command-error.ts'
import { describeError } from '../cli/show-error.ts'
import { drawableTerminal, isDumbTerminal } from '../cli/terminal.ts'
import type { showDashboard } from '../tui/dashboard.tsx'
import type { FeedDeps } from '../tui/feed.ts'

/** The exports of dist/tui/dashboard.js: an ES module apart, because ink is one, and only this command loads ink. */
type Tui = { showDashboard: typeof showDashboard }

export default class Dashboard extends NovaCommand {
  static override summary = 'Watch and operate the cloud in a full-screen dashboard.'
  static override description =
    'Overview, instances, hosts, operations and events, updated live. The keys are those of k9s and lazygit: `?` lists them. With --once the overview is printed as text; this needs no terminal.'
  static override aliases = ['top']
  static override examples = [
    '<%= config.bin %> dashboard',
    '<%= config.bin %> top',
    '<%= config.bin %> dashboard --once',
  ]
  static override flags = {
    once: Flags.boolean({ summary: 'Print the overview as text and exit.' }),
  }

  protected override readonly repeats = false

  async run(): Promise<void> {
    const { flags } = await this.parse(Dashboard)
    if (flags.once) {
      const { printOverview } = await import('../tui/once.ts')
      return this.write(await printOverview(await this.feedDeps(), this.look))
    }
    if (!drawableTerminal())
      misuse(
        `The dashboard needs a terminal${isDumbTerminal() ? ' that can draw; TERM is dumb' : ''}.`,
        'As text: nova dashboard --once. As it happens: nova event list --follow',
      )
    const { Feed } = await import('../tui/feed.ts')
    const feed = await Feed.open(await this.feedDeps())
    try {
      const { importModule } = createRequire(join(this.config.root, 'bin', 'run.js'))('./import.js')
      const { showDashboard } = (await importModule(
        pathToFileURL(join(this.config.root, 'dist', 'tui', 'dashboard.js')).href,
      )) as Tui
      const signal = await showDashboard(feed, process)
      if (signal) process.exitCode = 128 + { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 }[signal as 'SIGTERM']
    } finally {
      await feed.close()
    }
  }

  private async feedDeps(): Promise<FeedDeps> {
    const { isAdmin } = await this.context()
    return {
      ask: (method, args, timeoutMs) => this.ask(method, args, timeoutMs),
      bus: await this.bus(),
      clock: this.clock,
      describe: describeError,
      isAdmin,
    }
  }
}
