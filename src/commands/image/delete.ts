import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { goneView } from '../../cli/views.ts'
import { systemIds } from '../../core/base/ids.ts'

export default class ImageDelete extends NovaCommand {
  static override summary = 'Delete an image; instances that were booted from it keep running.'
  static override examples = ['<%= config.bin %> image delete old', '<%= config.bin %> image delete old -f json']
  static override hiddenAliases = ['image-delete']
  static override args = { image: name('Name or id of the image.') }
  static override readonly view = goneView

  async run(): Promise<void> {
    const { args } = await this.parse(ImageDelete)
    const gone = await this.ask('imageDelete', { image: args.image, idempotencyKey: systemIds.uuid() })
    if (this.forPeople) this.write(`${gone.name}: deleted\n`)
    else await this.showOne(goneView, gone)
  }
}
