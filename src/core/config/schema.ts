import * as z from 'zod'
import { quotaDefaults } from '../model/quota.ts'

/** What an option is for, its unit, and its default. */
type Note = { why: string; unit?: string; secret?: boolean }
const option = <S extends z.ZodType>(schema: S, fallback: z.output<S>, why: string, note: Omit<Note, 'why'> = {}) =>
  schema.default(fallback as never).meta({ why, ...note } satisfies Note)

const seconds = z.number().positive()
const whole = z.int().nonnegative()
const ratio = z.number().positive()
const limit = z.int().min(-1)
const listenAddress = /^(unix:\/.+|(tls:)?(\[[\da-f:.]+\]|[\da-z._-]+)(:\d{1,5})?)$/i

/**
 * Every option of the system: section, key, allowed values, default, unit and purpose. Options are declared nowhere
 * else.
 */
export const schema = z.strictObject({
  bus: z.strictObject({
    url: option(
      z.string(),
      '',
      'URL of the bus: amqp://user:password@host:port/vhost; several separated by commas. Empty: the embedded broker of this machine.',
      { secret: true },
    ),
    managementUrl: option(
      z.string(),
      '',
      "URL of RabbitMQ's management API, for the bus commands and for limits on queues: http://user:password@host:15672; several separated by commas. Empty: none. The embedded broker needs none.",
      { secret: true },
    ),
    queues: option(
      z.enum(['durable', 'quorum', 'transient']),
      'durable',
      'How queues that several daemons share are declared; must be the same everywhere. durable: one broker. quorum: a RabbitMQ cluster. transient: oslo.messaging peers with default flags (not on RabbitMQ 4.3 or later). See docs/rabbitmq.md.',
    ),
    caFile: option(
      z.string(),
      '',
      'File of the CA (PEM) that must have signed the certificate of a broker behind amqps://, and of its management API behind https://. Empty: the CAs that this machine trusts.',
    ),
    certFile: option(z.string(), '', 'File of the client certificate (PEM) for a broker that asks for one.'),
    keyFile: option(z.string(), '', 'File of the key (PEM) of bus.cert_file.'),
    callTimeoutSeconds: option(seconds, 60, 'How long a call waits for its answer.', { unit: 's' }),
    connectTimeoutSeconds: option(seconds, 5, 'How long a command tries to connect to the bus.', {
      unit: 's',
    }),
  }),
  database: z.strictObject({
    url: option(
      z.string(),
      '',
      'URL of the database: mysql://user:password@host/name or sqlite:/path. Empty: an SQLite file in the state directory. Only conductor and scheduler use it.',
      { secret: true },
    ),
    caFile: option(
      z.string(),
      '',
      'File of the CA (PEM) that must have signed the certificate of the MySQL server; if set, connections without TLS are refused. Empty: no TLS.',
    ),
    certFile: option(z.string(), '', 'File of the client certificate (PEM) for a MySQL server that asks for one.'),
    keyFile: option(z.string(), '', 'File of the key (PEM) of database.cert_file.'),
  }),
  broker: z.strictObject({
    listen: option(
      z.array(z.string().regex(listenAddress, 'each must be host:port, tls:host:port or unix:/path')),
      [],
      'Addresses of the embedded broker besides its socket in the state directory: host:port, tls:host:port or unix:/path.',
    ),
    user: option(
      z.string().min(1),
      'nova',
      'User of the embedded broker with all permissions; its password is created at first start.',
    ),
    caFile: option(
      z.string(),
      '',
      'File of the CA (PEM) that must have signed the certificates of clients on tls: addresses. Empty: clients need no certificate.',
    ),
    certFile: option(z.string(), '', 'File of the certificate (PEM) for tls: addresses.'),
    keyFile: option(z.string(), '', 'File of the key (PEM) of broker.cert_file.'),
    heartbeatSeconds: option(
      whole,
      60,
      'Interval of heartbeats to clients; a client that is silent for two intervals is disconnected. 0: no heartbeats.',
      {
        unit: 's',
      },
    ),
  }),
  conductor: z.strictObject({
    slots: option(z.int().positive(), 64, 'Maximum number of concurrent requests per conductor.'),
    imageDir: option(
      z.string(),
      '',
      'Directory of image files; conductors on several machines must share it. Empty: images in the state directory.',
    ),
    imageReserveMib: option(
      whole,
      1024,
      'Free space that uploads of images leave on the disk of conductor.image_dir; an embedded database may be on it, too.',
      { unit: 'MiB' },
    ),
    eventsMax: option(
      z.int().positive(),
      100_000,
      'Number of events to keep; the oldest are deleted first, those of the project that has the most.',
    ),
    historyDays: option(z.int().positive(), 90, 'How long the record of a deleted instance is kept.', { unit: 'days' }),
    operationsDays: option(z.int().positive(), 30, 'How long the record of an ended operation is kept.', {
      unit: 'days',
    }),
  }),
  operations: z.strictObject({
    leaseSeconds: option(
      seconds,
      30,
      'Lease of a host on an operation. A host that does not renew the lease within this time loses the operation.',
      { unit: 's' },
    ),
    sweepSeconds: option(seconds, 2, 'How often the conductor looks for lost messages and expired leases.', {
      unit: 's',
    }),
    resendSeconds: option(
      seconds,
      5,
      'How long an operation may wait to be claimed before its message is sent again; doubled each time, up to six times this value.',
      { unit: 's' },
    ),
    maxAttempts: option(z.int().positive(), 3, 'Number of hosts that a boot is tried on before it fails.'),
  }),
  notifications: z.strictObject({
    format: option(
      z.enum(['none', 'unversioned', 'versioned', 'both']),
      'none',
      'Formats of notifications for oslo.messaging listeners, as in Nova. A boot costs about a tenth more with both. See docs/notifications.md.',
    ),
    maxLength: option(
      z.int().positive(),
      10_000,
      'Maximum number of notifications in a queue; the oldest are dropped first. Without a limit, a queue without a consumer would grow for ever.',
    ),
    ttlSeconds: option(
      seconds,
      3600,
      'How long a notification waits for a listener that has declared its queue and is gone.',
      { unit: 's' },
    ),
  }),
  services: z.strictObject({
    heartbeatSeconds: option(seconds, 10, 'How often each daemon reports that it is alive.', { unit: 's' }),
    serviceDownTime: option(seconds, 30, 'A daemon without a heartbeat for this long is down.', { unit: 's' }),
    pingSeconds: option(
      seconds,
      10,
      'How often each daemon pings itself through the bus. After two misses it reconnects; after two and a half intervals without an answer it is degraded.',
      { unit: 's' },
    ),
  }),
  scheduler: z.strictObject({
    slots: option(z.int().positive(), 16, 'Maximum number of concurrent placements per scheduler.'),
    filters: option(
      z.array(z.string().min(1)),
      [
        'excluded-host',
        'forced-host',
        'compute-up',
        'availability-zone',
        'knows-kind',
        'ram',
        'cores',
        'disk',
        'same-host',
        'different-host',
      ],
      'Filters, in the order in which they run.',
    ),
    weighers: option(
      z.record(z.string(), z.number()),
      { 'free-ram': 1, spread: 1, 'failed-recently': 2 },
      'Weighers and their multipliers.',
    ),
    cpuAllocationRatio: option(ratio, 4, 'Virtual CPUs that may be allocated per physical CPU.'),
    ramAllocationRatio: option(ratio, 1, 'Guest memory that may be allocated per physical memory.'),
    diskAllocationRatio: option(ratio, 1, 'Guest disk that may be allocated per physical disk.'),
    reservedHostMemoryMb: option(whole, 512, 'Memory of each host that is reserved for the host itself.', {
      unit: 'MiB',
    }),
    reservedHostDiskMb: option(whole, 1024, 'Disk of each host that is reserved for the host itself.', { unit: 'MiB' }),
  }),
  compute: z.strictObject({
    host: option(z.string(), '', 'Name of this host in the cloud. Empty: its host name.'),
    driver: option(
      z.string().min(1),
      'auto',
      'auto (qemu if it is installed, otherwise fake), qemu, fake, or the name of an npm package with a driver.',
    ),
    accelerator: option(
      z.enum(['auto', 'kvm', 'tcg']),
      'auto',
      'auto: try KVM with a small guest, remember the result, and switch to TCG if KVM fails under a guest. kvm: fail if KVM does not work. tcg: emulation, which is slow but works everywhere.',
    ),
    cpuModel: option(
      z.string().regex(/^[\w.-]*$/, 'the name of one model'),
      '',
      'CPU model of guests, a name from qemu-system-x86_64 -cpu help. Empty: the CPU of the host under KVM, everything that QEMU can emulate under TCG. If the hosts of a cloud have different CPUs, set one model that all of them support; otherwise running instances cannot move between them.',
    ),
    migrationAddress: option(
      z
        .string()
        .regex(/^([\d.]+|[\da-f:]+|[\da-z._-]+)$/i, 'an address or a host name')
        .refine((address) => !['0.0.0.0', '::'].includes(address), 'an address that other hosts can connect to'),
      '127.0.0.1',
      'Address on which this host receives the disks of instances that move to it, and which it gives to their hosts; it listens only while one is expected. The data is authenticated but not encrypted: use a network that only the hosts share.',
    ),
    migrationPort: option(
      z.int().min(0).max(65_535),
      0,
      'Port of compute.migration_address. 0: any free port, the same until the daemon ends.',
    ),
    availabilityZone: option(
      z.string().min(1),
      'nova',
      'Availability zone of this host when it first reports. Later changes: nova host set.',
    ),
    guestUidBase: option(
      z.int().min(1).max(4_294_000_000),
      1_879_048_192,
      'Where the daemon is root: first of the uids that QEMU and qemu-img run as. The default is a range that systemd and Debian give to nobody.',
    ),
    guestUidCount: option(
      z.int().nonnegative().max(900_000),
      65_536,
      'Number of uids after compute.guest_uid_base; each guest has one of its own. 0: guests run as the user of the daemon.',
    ),
    slots: option(z.int().positive(), 8, 'Maximum number of concurrent operations on this host.'),
    shutdownTimeout: option(seconds, 60, 'How long a guest may take to shut down before its power is cut.', {
      unit: 's',
    }),
    reportSeconds: option(seconds, 60, 'How often resources and power states are reported.', { unit: 's' }),
    imageCacheGb: option(
      z.number().nonnegative(),
      20,
      'Size above which unused image files are removed from the cache.',
      { unit: 'GiB' },
    ),
  }),
  fake: z.strictObject({
    hosts: option(z.int().positive(), 1, 'Number of compute hosts that the fake driver simulates in one process.'),
    vcpus: option(z.int().positive(), 64, 'CPUs of each simulated host.'),
    memoryMb: option(z.int().positive(), 262_144, 'Memory of each simulated host.', { unit: 'MiB' }),
    diskGb: option(z.int().positive(), 4096, 'Disk of each simulated host.', { unit: 'GiB' }),
    latencyMs: option(whole, 0, 'How long each action of the fake driver takes.', { unit: 'ms' }),
  }),
  quota: z.strictObject({
    instances: option(
      limit,
      quotaDefaults.instances,
      'Instances per project without a limit of its own (nova quota set). -1: no limit.',
    ),
    cores: option(limit, quotaDefaults.cores, 'Virtual CPUs per project. -1: no limit.'),
    memoryMb: option(limit, quotaDefaults.memoryMb, 'Memory per project. -1: no limit.', { unit: 'MiB' }),
    imageSizeTotal: option(
      limit,
      quotaDefaults.imageSizeTotal,
      'Image files per project, as in Glance. -1: no limit.',
      { unit: 'MiB' },
    ),
  }),
  log: z.strictObject({
    level: option(z.enum(['debug', 'info', 'warn', 'error', 'silent']), 'info', 'Lowest level of log lines to write.'),
  }),
})

export type Options = z.output<typeof schema>

/** One option as the documentation and `nova config show` list it. */
export type OptionRow = {
  key: string
  env: string
  default: unknown
  unit: string | undefined
  secret: boolean
  why: string
}

/** `callTimeoutSeconds` is `call_timeout_seconds` in files and `CALL_TIMEOUT_SECONDS` in the environment. */
export const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
/** The inverse of {@link snake}. */
export const camel = (key: string): string => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

/** All options in the order of the schema. */
export function optionRows(): OptionRow[] {
  return Object.entries(schema.shape).flatMap(([section, part]) =>
    Object.entries(part.shape).map(([key, field]) => {
      const note = (field as z.ZodType).meta() as Note
      const name = `${section}.${snake(key)}`
      return {
        key: name,
        env: `NOVA_${name.replace('.', '_').toUpperCase()}`,
        default: (field as z.ZodDefault).def.defaultValue,
        unit: note.unit,
        secret: note.secret ?? false,
        why: note.why,
      }
    }),
  )
}
