import { NovaCommand } from '../../cli/command.ts'
import { page } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import { imageRows } from '../../cli/views.ts'
import { pageIn, readList } from '../../core/contracts/pages.ts'

export default class ImageList extends NovaCommand {
  static override summary = 'List images: what instances boot from.'
  static override examples = ['<%= config.bin %> image list', '<%= config.bin %> image list -c name -c status']
  static override hiddenAliases = ['image-list']
  static override flags = page('image')
  static override readonly view = imageRows

  async run(): Promise<void> {
    const { flags } = await this.parse(ImageList)
    const ask = async (asked: object) => pageIn(await this.ask('imageList', asked), 'images')
    await this.showRows(imageRows, await readList(ask, (image) => image.id, pickDefined(flags, ['limit', 'marker'])))
  }
}
