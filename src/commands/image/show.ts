import { NovaCommand } from '../../cli/command.ts'
import { name } from '../../cli/flags.ts'
import { imageView } from '../../cli/views.ts'

export default class ImageShow extends NovaCommand {
  static override summary = 'Show one image with its files and checksums.'
  static override examples = ['<%= config.bin %> image show tiny', '<%= config.bin %> image show tiny -f yaml']
  static override hiddenAliases = ['image-show']
  static override args = { image: name('Name or id of the image.') }
  static override readonly view = imageView

  async run(): Promise<void> {
    const { args } = await this.parse(ImageShow)
    await this.showOne(imageView, await this.ask('imageShow', { image: args.image }))
  }
}
