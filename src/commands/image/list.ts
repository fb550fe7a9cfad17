import { NovaCommand } from '../../cli/command.ts'
import { imageRows } from '../../cli/views.ts'

export default class ImageList extends NovaCommand {
  static override summary = 'List images: what instances start from.'
  static override examples = ['<%= config.bin %> image list', '<%= config.bin %> image list -c name -c status']
  static override hiddenAliases = ['image-list']
  static override readonly view = imageRows

  async run(): Promise<void> {
    await this.parse(ImageList)
    const { images } = await this.ask('imageList', {})
    await this.showRows(imageRows, images)
  }
}
