import type { Work } from '../contracts/agent.ts'
import type { diskFormats, ImageFile, ImagePart, Step } from '../contracts/shapes.ts'
import type { Db } from '../db/handle.ts'
import type { OperationKind, OperationState } from '../model/operation.ts'

/** An operation as the host that wants to claim it finds it, with everything that it needs to carry it out. */
export type Job = {
  state: OperationState
  kind: OperationKind
  host: string | undefined
  incarnation: string | undefined
  step: string | undefined
  steps: Step[]
  attempt: number
  deadline: number
  cancelRequested: boolean
  requestId: string
  projectId: string
  /** The life of the daemon on the instance's host that counts. */
  hostIncarnation: string | undefined
  /** Undefined where the instance is gone. */
  instance: (Work['instance'] & { host: string | undefined }) | undefined
  image: Work['image']
}

/** One query: the operation, its instance and its host, its image and the image's files. Undefined where there is no such operation. */
export async function jobOf(db: Db, operationId: string): Promise<Job | undefined> {
  const rows = await db
    .selectFrom('operations as o')
    .leftJoin('instances as i', 'i.id', 'o.instance_id')
    .leftJoin('hosts as h', 'h.name', 'i.host')
    .leftJoin('images as m', 'm.id', 'i.image_id')
    .leftJoin('image_files as f', 'f.image_id', 'm.id')
    .select(['o.state', 'o.kind', 'o.host', 'o.incarnation', 'o.step', 'o.steps', 'o.attempt', 'o.deadline'])
    .select(['o.cancel_requested', 'o.request_id', 'o.project_id', 'i.id', 'i.name', 'i.host as instance_host'])
    .select(['i.vcpus', 'i.memory_mb', 'i.disk_gb', 'i.metadata', 'i.user_data', 'i.public_key', 'i.generation'])
    .select(['m.id as image_id', 'm.name as image_name', 'm.disk_format'])
    .select(['f.part', 'f.size_bytes', 'f.sha256', 'h.incarnation as host_incarnation'])
    .where('o.id', '=', operationId)
    .execute()
  const [row] = rows
  if (!row) return undefined
  return {
    state: row.state as OperationState,
    kind: row.kind as OperationKind,
    host: row.host ?? undefined,
    incarnation: row.incarnation ?? undefined,
    step: row.step ?? undefined,
    steps: JSON.parse(row.steps) as Step[],
    attempt: row.attempt,
    deadline: row.deadline,
    cancelRequested: row.cancel_requested === 1,
    requestId: row.request_id,
    projectId: row.project_id,
    hostIncarnation: row.host_incarnation ?? undefined,
    instance: instanceOf(row),
    image: imageOf(row, rows),
  }
}

type Row = {
  id: string | null
  name: string | null
  instance_host: string | null
  vcpus: number | null
  memory_mb: number | null
  disk_gb: number | null
  metadata: string | null
  user_data: string | null
  public_key: string | null
  generation: number | null
  image_id: string | null
  image_name: string | null
  disk_format: string | null
  part: string | null
  size_bytes: number | null
  sha256: string | null
}

function instanceOf(row: Row): Job['instance'] {
  if (row.id === null) return undefined
  return {
    id: row.id,
    name: row.name as string,
    host: row.instance_host ?? undefined,
    size: { vcpus: row.vcpus as number, memoryMb: row.memory_mb as number, diskGb: row.disk_gb as number },
    metadata: JSON.parse(row.metadata as string) as Record<string, string>,
    ...(row.user_data === null ? {} : { userData: row.user_data }),
    ...(row.public_key === null ? {} : { key: row.public_key }),
    generation: row.generation as number,
  }
}

function imageOf(row: Row, rows: readonly Row[]): Work['image'] {
  if (row.image_id === null) return undefined
  const files: Partial<Record<ImagePart, ImageFile>> = {}
  for (const { part, size_bytes, sha256 } of rows)
    if (part !== null) files[part as ImagePart] = { sizeBytes: size_bytes as number, sha256: sha256 as string }
  return {
    id: row.image_id,
    name: row.image_name as string,
    ...(row.disk_format === null ? {} : { diskFormat: row.disk_format as (typeof diskFormats)[number] }),
    files,
  }
}
