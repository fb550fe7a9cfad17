import type { Guest } from '../driver.ts'

/** The longest host name that the domain name system takes. */
const hostnameMax = 63

/** A host name made of an instance's name: `Web server #1` → `web-server-1`. */
export function hostname({ name, id }: Pick<Guest, 'name' | 'id'>): string {
  const made = name
    .toLowerCase()
    .replace(/[\s_.]+/g, '-')
    .replace(/[^a-z0-9-]/g, '')
    .slice(0, hostnameMax)
    .replace(/^-+|-+$/g, '')
  return made === '' ? `server-${id}` : made
}

/** One key on a line, the outermost ones indented by two: even a shell can read it then. */
const json = (value: unknown): Buffer => Buffer.from(`${JSON.stringify(value, null, 2)}\n`)

/**
 * What a guest may know of itself, as the files of a config drive, by path. OpenStack's layout first, and EC2's beside
 * it, as Nova writes them; cloud-init reads either.
 */
export function metadataFiles(guest: Guest): Map<string, Buffer> {
  const name = hostname(guest)
  const key = guest.publicKey?.trim()
  const userData = guest.userData === undefined ? undefined : Buffer.from(guest.userData, 'base64')
  const files = new Map<string, Buffer>()
  files.set(
    'openstack/latest/meta_data.json',
    json({
      uuid: guest.id,
      name: guest.name,
      hostname: name,
      launch_index: 0,
      meta: guest.metadata,
      ...(key ? { public_keys: { nova: key }, keys: [{ name: 'nova', type: 'ssh', data: key }] } : {}),
    }),
  )
  files.set(
    'ec2/latest/meta-data.json',
    json({
      'instance-id': guest.id,
      hostname: name,
      'local-hostname': name,
      ...(key ? { 'public-keys': { 0: { 'openssh-key': key } } } : {}),
    }),
  )
  if (userData) {
    files.set('openstack/latest/user_data', userData)
    files.set('ec2/latest/user-data', userData)
  }
  return files
}
