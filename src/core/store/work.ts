import type { Work } from '../contracts/agent.ts'
import type { diskFormats, ImageFile, ImagePart } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import { prepared } from '../db/prepared.ts'
import { joinedLeg, type Leg, type LegKey, legColumns } from './legs.ts'
import { type OperationRecord, toRecord } from './operation-record.ts'
import { serviceId } from './services.ts'

/** An operation as the host that wants to claim its leg finds it, with everything that it needs to carry it out. */
export type Job = {
  operation: OperationRecord
  /** The host's own; undefined if it has none. */
  leg: Leg | undefined
  /** The life of the service on that host that counts. */
  incarnation: string | undefined
  /** Undefined if the subject is no instance, or if the instance is gone. */
  instance: (Omit<NonNullable<Work['instance']>, 'before'> & { host: string | undefined }) | undefined
  image: Work['image']
}

/** One query: the operation, the host's leg, instance, image and the image's files. Undefined if there is no such operation. */
export async function jobOf(db: Db, key: LegKey): Promise<Job | undefined> {
  const { operation, service, host } = key
  const { rows } = await selectJob(db, { operation, service, host, daemon: serviceId(service, host) })
  const [row] = rows
  if (!row) return undefined
  return {
    operation: toRecord(row),
    leg: joinedLeg(row),
    incarnation: row.service_incarnation ?? undefined,
    instance: instanceOf(row),
    image: imageOf(row, rows),
  }
}

const selectJob = prepared((db: Db, { operation, service, host, daemon }: LegKey & { daemon: string }) =>
  db
    .selectFrom('operations as o')
    .leftJoin('operation_hosts as l', (join) =>
      join.onRef('l.operation_id', '=', 'o.id').on('l.service', '=', service).on('l.host', '=', host),
    )
    .leftJoin('services as s', (join) => join.on('s.id', '=', daemon))
    .leftJoin('instances as i', 'i.id', 'o.subject_id')
    .leftJoin('images as m', (join) => join.on((eb) => eb('m.id', '=', eb.fn.coalesce('i.image_id', 'o.subject_id'))))
    .leftJoin('image_files as f', 'f.image_id', 'm.id')
    .selectAll('o')
    .select(legColumns)
    .select(['s.incarnation as service_incarnation'])
    .select(['i.id as instance_id', 'i.name as instance_name', 'i.host as instance_host', 'i.vcpus', 'i.memory_mb'])
    .select(['i.disk_gb', 'i.metadata', 'i.user_data', 'i.public_key', 'i.generation', 'i.mac'])
    .select(['m.id as image_id', 'm.name as image_name', 'm.disk_format', 'f.part', 'f.size_bytes', 'f.sha256'])
    .where('o.id', '=', operation),
)

type Row = Awaited<ReturnType<typeof selectJob>>['rows'][number]

function instanceOf(row: Row): Job['instance'] {
  if (row.instance_id === null) return undefined
  return {
    id: row.instance_id,
    name: row.instance_name as string,
    host: row.instance_host ?? undefined,
    size: { vcpus: row.vcpus as number, memoryMb: row.memory_mb as number, diskGb: row.disk_gb as number },
    metadata: JSON.parse(row.metadata as string) as Record<string, string>,
    ...(row.user_data === null ? {} : { userData: row.user_data }),
    ...(row.public_key === null ? {} : { key: row.public_key }),
    generation: row.generation as number,
    // Until ports are rows of their own, an instance has one, of its own id.
    nics: [{ id: row.instance_id, mac: row.mac as string }],
  }
}

function imageOf(row: Row, rows: readonly Row[]): Work['image'] {
  if (row.image_id === null) return undefined
  const files: Partial<Record<ImagePart, ImageFile>> = {}
  for (const { part, size_bytes, sha256 } of rows)
    if (part !== null && size_bytes !== null && sha256 !== null)
      files[part as ImagePart] = { sizeBytes: size_bytes, sha256 }
  return {
    id: row.image_id,
    name: row.image_name as string,
    ...(row.disk_format === null ? {} : { diskFormat: row.disk_format as (typeof diskFormats)[number] }),
    files,
  }
}
