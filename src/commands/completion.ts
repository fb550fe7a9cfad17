import * as Args from '@oclif/core/args'
import { Config } from '@oclif/core/config'
import { NovaCommand } from '../cli/command.ts'

const shells = ['bash', 'zsh', 'fish'] as const

export default class Completion extends NovaCommand {
  static override summary = 'Print the script that lets a shell complete nova commands.'
  static override description =
    'Completes commands, flags, values of flags, files, and the current names of instances, flavors, images and hosts.'
  static override examples = [
    'bash, in ~/.bashrc:\nsource <(<%= config.bin %> completion bash)',
    'zsh, in ~/.zshrc after compinit:\nsource <(<%= config.bin %> completion zsh)',
    'fish:\n<%= config.bin %> completion fish > ~/.config/fish/completions/nova.fish',
  ]
  static override args = {
    shell: Args.option({ options: shells })({
      required: true,
      ignoreStdin: true,
      description: 'The shell to print for.',
    }),
  }

  async run(): Promise<void> {
    const { args } = await this.parse(Completion)
    const [{ completionModel }, scripts] = await Promise.all([
      import('../cli/completion-model.ts'),
      import('../cli/completion-scripts.ts'),
    ])
    const commands = completionModel(await Config.load(this.config.root))
    const write = { bash: scripts.bashScript, zsh: scripts.zshScript, fish: scripts.fishScript }[args.shell]
    this.write(write(commands))
  }
}
