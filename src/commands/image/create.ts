import * as Flags from '@oclif/core/flags'
import { NovaCommand } from '../../cli/command.ts'
import { misuse } from '../../cli/command-error.ts'
import { diskGb, memoryMb, name, pairs } from '../../cli/flags.ts'
import { pickDefined } from '../../cli/pick-defined.ts'
import type { Source } from '../../cli/upload.ts'
import { imageView } from '../../cli/views.ts'
import { diskFormats, imageParts } from '../../core/contracts/shapes.ts'

export default class ImageCreate extends NovaCommand {
  static override summary = 'Create an image from files: a disk, or a kernel with its ramdisk.'
  static override description =
    'Each file is verified by its SHA-256. If an upload was interrupted, run the same command again: only the missing parts are sent.'
  static override examples = [
    '<%= config.bin %> image create debian --disk debian-13.qcow2 --min-memory 512 --min-disk 3',
    '<%= config.bin %> image create debian --disk debian-13.qcow2 --public',
    '<%= config.bin %> image create tiny --kernel vmlinuz --ramdisk initrd.img',
  ]
  static override hiddenAliases = ['image-create']
  static override args = { name: name('Image name.') }
  static override flags = {
    disk: Flags.string({ aliases: ['file'], helpValue: 'FILE', summary: 'A disk image.' }),
    'disk-format': Flags.option({ options: diskFormats })({
      dependsOn: ['disk'],
      summary: 'Format of the disk; detected if omitted. Say raw if something else than a disk is recognised in it.',
    }),
    kernel: Flags.string({ helpValue: 'FILE', summary: 'A kernel that QEMU boots directly.' }),
    ramdisk: Flags.string({ dependsOn: ['kernel'], helpValue: 'FILE', summary: 'The initial ramdisk for the kernel.' }),
    'min-memory': memoryMb({ helpValue: 'MIB', summary: 'Minimum memory, such as 512 (MiB) or 2G.' }),
    'min-disk': diskGb({ helpValue: 'GIB', summary: 'Minimum disk, such as 10 (GiB).' }),
    public: Flags.boolean({ summary: 'Let all projects use the image (administrators); else it is for yours alone.' }),
    meta: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      helpValue: 'KEY=VALUE',
      summary: 'A property of the image; repeatable.',
    }),
  }
  static override readonly view = imageView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(ImageCreate)
    if (flags.disk === undefined && flags.kernel === undefined)
      misuse('An image needs --disk or --kernel.', 'nova image create NAME --disk FILE')
    const metadata = pairs('meta', flags.meta)
    const sources = await this.measured(flags)
    const disk = sources.find((source) => source.part === 'disk')
    const diskFormat = disk?.format
    const visibility = flags.public ? ('public' as const) : undefined
    const { image, missing } = await this.ask('imageCreate', {
      name: args.name,
      files: Object.fromEntries(sources.map((source) => [source.part, source.file])),
      ...pickDefined(
        { diskFormat, metadata, visibility, minMemoryMb: flags['min-memory'], minDiskGb: flags['min-disk'] },
        ['diskFormat', 'metadata', 'visibility', 'minMemoryMb', 'minDiskGb'],
      ),
    })
    await this.send(
      image.id,
      sources.filter((source) => missing.includes(source.part)),
    )
    await this.showOne(imageView, await this.ask('imageShow', { image: image.id }))
  }

  /** Reads each file once for its size and checksum, which are announced before the data is sent. */
  private async measured(
    flags: {
      [part in Source['part']]?: string | undefined
    } & { 'disk-format'?: Source['format'] | undefined },
  ): Promise<Source[]> {
    const { measure } = await import('../../cli/upload.ts')
    return this.counted('reading', 0, async (onBytes) => {
      const sources: Source[] = []
      for (const part of imageParts)
        if (flags[part] !== undefined) sources.push(await measure(part, flags[part], onBytes, flags['disk-format']))
      return sources
    })
  }

  private async send(image: string, sources: readonly Source[]): Promise<void> {
    const { upload } = await import('../../cli/upload.ts')
    const total = sources.reduce((sum, source) => sum + source.file.sizeBytes, 0)
    await this.counted('sending', total, async (onBytes) => {
      for (const source of sources)
        await upload(source, (piece) => this.ask('imageWrite', { image, ...piece }), onBytes)
    })
  }

  /** Shows on a terminal how many MiB are done. */
  private async counted<T>(
    action: string,
    total: number,
    work: (onBytes: (n: number) => void) => Promise<T>,
  ): Promise<T> {
    const { openProgress } = await import('../../cli/progress.ts')
    const progress = openProgress(this.clock)
    let done = 0
    try {
      return await work((bytes) => {
        done += bytes
        progress.show(`${action} ${mib(done)}${total > 0 ? ` of ${mib(total)}` : ''} MiB`)
      })
    } finally {
      progress.end()
    }
  }
}

const mib = (bytes: number): string => (bytes / (1 << 20)).toFixed(0)
