import { NovaCommand } from '../../cli/command.ts'
import { diskGb, memoryMb, name, whole } from '../../cli/flags.ts'
import { flavorView } from '../../cli/views.ts'

export default class FlavorCreate extends NovaCommand {
  static override summary = 'Create a flavor: a size for instances.'
  static override examples = [
    '<%= config.bin %> flavor create big --vcpus 8 --memory 16G --disk 80',
    '<%= config.bin %> flavor create diskless --vcpus 1 --memory 128 --disk 0',
  ]
  static override hiddenAliases = ['flavor-create']
  static override args = { name: name('Flavor name.') }
  static override flags = {
    vcpus: whole({ min: 1, max: 1024 })({ required: true, helpValue: 'N', summary: 'Virtual CPUs of the guest.' }),
    memory: memoryMb({ required: true, aliases: ['ram'], helpValue: 'MIB', summary: 'Memory, as 512 (MiB) or 2G.' }),
    disk: diskGb({ default: 0, helpValue: 'GIB', summary: 'Disk, such as 10 (GiB); 0 means the size of the image.' }),
  }
  static override readonly view = flavorView

  async run(): Promise<void> {
    const { args, flags } = await this.parse(FlavorCreate)
    const { vcpus, memory, disk } = flags
    const flavor = await this.ask('flavorCreate', { name: args.name, vcpus, memoryMb: memory, diskGb: disk })
    await this.showOne(flavorView, flavor)
  }
}
