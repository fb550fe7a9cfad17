import { NovaCommand } from '../../cli/command.ts'

export default class DbSync extends NovaCommand {
  static override summary = 'Migrate the database to the newest version.'
  static override description =
    'Safe to repeat, to run on several machines at once, and to run beside daemons. Conductors do the same when they start.'
  static override examples = [
    '<%= config.bin %> db sync',
    'NOVA_DATABASE_URL=mysql://nova:secret@db/nova <%= config.bin %> db sync',
  ]

  async run(): Promise<void> {
    await this.parse(DbSync)
    const { syncNow } = await import('../../daemons/database.ts')
    const { applied, version } = await syncNow(await this.settings())
    this.write(
      applied.length === 0
        ? `The database is up to date: ${version}.\n`
        : `Applied: ${applied.join(', ')}. The database is at ${version}.\n`,
    )
  }
}
