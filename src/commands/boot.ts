import * as Flags from '@oclif/core/flags'
import { readKey, readUserData } from '../cli/boot-files.ts'
import { NovaCommand } from '../cli/command.ts'
import { CommandError } from '../cli/command-error.ts'
import { found, renderDecision } from '../cli/decision.ts'
import { name, pairs, wait, whole } from '../cli/flags.ts'
import { pickDefined } from '../cli/pick-defined.ts'
import { type Booted, bootedView } from '../cli/views.ts'
import { systemIds } from '../core/base/ids.ts'
import type { BootRequest } from '../core/contracts/conductor.ts'

/** Of more instances than these, people get a summary. */
const rowsMost = 20

export default class Boot extends NovaCommand {
  static override summary = 'Create and start an instance.'
  static override description =
    'If you omit --image or --flavor, the built-in image and the smallest flavor that fits the image are used, and the command says so. It returns as soon as the request is recorded; --wait follows the operation until the instance is running.'
  static override examples = [
    '<%= config.bin %> boot web',
    '<%= config.bin %> boot web --image debian-13 --flavor m1.small --key ~/.ssh/id_ed25519.pub --wait',
    'Three at once: web-1, web-2 and web-3\n<%= config.bin %> boot web --count 3',
    'Not on the host of db1\n<%= config.bin %> boot db2 --hint different_host=db1',
    'Where would it go, and why?\n<%= config.bin %> boot web --flavor m1.large --dry-run',
    '<%= config.bin %> boot web --user-data cloud-init.yaml --meta role=front --meta tier=1',
  ]
  static override args = { name: name('Instance name; with --count, the name prefix.') }
  static override flags = {
    image: Flags.string({ env: 'NOVA_IMAGE', helpValue: 'IMAGE', summary: 'Image to boot from: nova image list.' }),
    flavor: Flags.string({
      env: 'NOVA_FLAVOR',
      helpValue: 'FLAVOR',
      summary: 'Size of the instance: nova flavor list.',
    }),
    count: whole({ min: 1, max: 1000 })({
      helpValue: 'N',
      summary: 'Number of identical instances. All are created or none; each is placed on its own.',
    }),
    wait,
    'dry-run': Flags.boolean({
      exclusive: ['wait'],
      summary: 'Only show which host the instance would go to, and why.',
    }),
    key: Flags.string({
      env: 'NOVA_KEY',
      helpValue: 'FILE|TEXT',
      summary: 'An SSH public key that may log in: a file, or the text of the key.',
    }),
    'user-data': Flags.string({
      env: 'NOVA_USER_DATA',
      helpValue: 'FILE',
      summary: 'User data for the guest, as cloud-init reads it: a file, or - for standard input.',
    }),
    meta: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      summary: 'Metadata of the instance, which the guest can read; repeatable.',
    }),
    hint: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      summary: 'Scheduler hint: same_host=NAME or different_host=NAME; repeatable.',
    }),
    'availability-zone': Flags.string({
      env: 'NOVA_AVAILABILITY_ZONE',
      helpValue: 'ZONE[:HOST]',
      summary: 'Only hosts of this availability zone; with :HOST, only that host (administrators).',
    }),
    description: Flags.string({ helpValue: 'TEXT', summary: 'Free text about the instance.' }),
    'idempotency-key': Flags.string({
      env: 'NOVA_IDEMPOTENCY_KEY',
      helpValue: 'KEY',
      summary: 'A request repeated with the same key within a day returns the first answer and boots nothing.',
    }),
  }
  static override readonly view = bootedView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(Boot)
    const request: BootRequest = {
      name: args.name,
      ...pickDefined(flags, ['image', 'flavor', 'count', 'description']),
      ...pickDefined(
        {
          metadata: pairs('meta', flags.meta),
          hints: pairs('hint', flags.hint),
          key: flags.key === undefined ? undefined : await readKey(flags.key),
          userData: flags['user-data'] === undefined ? undefined : await readUserData(flags['user-data']),
          availabilityZone: flags['availability-zone'],
          // If a conductor dies while it answers, another one gets the request again: it must not boot a second
          // instance.
          idempotencyKey: flags['idempotency-key'] ?? systemIds.uuid(),
        },
        ['metadata', 'hints', 'key', 'userData', 'availabilityZone', 'idempotencyKey'],
      ),
    }
    if (flags['dry-run']) await this.dryRun(request)
    else await this.boot(request, flags.wait)
  }

  private async dryRun(request: BootRequest): Promise<void> {
    const { decision, image, flavor } = await this.ask('bootDryRun', request)
    this.noteDefaults(request, flavor, image)
    this.write(await renderDecision(decision, this.look, { name: request.name, flavor, image }))
    if (!found(decision))
      throw new CommandError(`No host can take ${request.name}: ${decision.summary}`, 'Nothing was booted.', 1)
  }

  private async boot(request: BootRequest, wait: boolean): Promise<void> {
    const {
      begun,
      flavor,
      image,
      alike = [],
    } = await this.ask('boot', this.forPeople ? { ...request, findAlike: true } : request)
    this.noteDefaults(request, flavor, image)
    for (const name of alike) this.note(`There was an instance ${name} already: commands will ask which one is meant.`)
    const booted: Booted[] = begun.map((b) => ({ ...b, flavor, image, status: 'BUILD', state: 'queued' }))
    if (!wait) {
      if (this.forPeople && booted.length > rowsMost) {
        this.write(
          `${booted.length} instances are being created, ${booted[0]!.instance.name} to ${booted.at(-1)!.instance.name}: nova list\n`,
        )
        return
      }
      await this.show(request, booted)
      if (this.forPeople)
        for (const b of booted.slice(0, 3)) this.note(`Follow it: nova operation follow ${b.operation}`)
      return
    }
    const { failureOf } = await import('../cli/wait.ts')
    const ended = await this.follow(begun.map((b) => b.operation))
    const failures = ended.map(failureOf).filter((failure) => failure !== undefined)
    if (this.forPeople && booted.length > rowsMost) {
      this.write(`${booted.length} instances: ${booted.length - failures.length} ACTIVE, ${failures.length} ERROR\n`)
      const byMessage = new Map(failures.map((failure) => [failure.message, failure]))
      for (const failure of byMessage.values()) this.reportFailure(failure)
      return
    }
    await this.show(
      request,
      booted.map((b, i) => {
        const { state, host } = ended[i]!
        const status = state === 'succeeded' ? 'ACTIVE' : 'ERROR'
        return { ...b, state, status, ...(host === undefined ? {} : { host }) }
      }),
    )
    if (failures.length > 1) for (const failure of failures.slice(0, -1)) this.reportFailure(failure)
    if (failures.length > 0) throw failures.at(-1)
  }

  /** Without --count one instance is shown; with --count always a list. */
  private show(request: BootRequest, booted: readonly Booted[]): Promise<void> {
    return request.count === undefined ? this.showOne(bootedView, booted[0]!) : this.showRows(bootedView, booted)
  }

  private noteDefaults(request: BootRequest, flavor: string, image: string): void {
    const taken = [
      request.flavor === undefined ? `flavor ${flavor}` : '',
      request.image === undefined ? `image ${image}` : '',
    ]
    const said = taken.filter(Boolean).join(', ')
    if (said && this.forPeople) this.note(`Used by default: ${said}`)
  }
}
