import * as z from 'zod'

/** What an option is for, in which unit, and what it is where nobody says. */
type Note = { why: string; unit?: string; secret?: boolean }
const option = <S extends z.ZodType>(schema: S, fallback: z.output<S>, why: string, note: Omit<Note, 'why'> = {}) =>
  schema.default(fallback as never).meta({ why, ...note } satisfies Note)

const seconds = z.number().positive()
const whole = z.int().nonnegative()
const ratio = z.number().positive()
const listenAddress = /^(unix:\/.+|(tls:)?(\[[\da-f:.]+\]|[\da-z._-]+)(:\d{1,5})?)$/i

/** Every option of the system: section, key, what is allowed, default, unit and reason. Nothing is declared elsewhere. */
export const schema = z.strictObject({
  bus: z.strictObject({
    url: option(
      z.string(),
      '',
      'Where the bus is: amqp://user:password@host:port/vhost, several with commas. Empty: the embedded broker of this machine.',
      { secret: true },
    ),
    managementUrl: option(
      z.string(),
      '',
      "RabbitMQ's management API, for nova bus and for the bounds of queues: http://user:password@host:15672. Empty: none. The embedded broker needs none.",
      { secret: true },
    ),
    queues: option(
      z.enum(['durable', 'quorum', 'transient']),
      'durable',
      'How the queues that several daemons share are declared, the same everywhere: durable for one broker, quorum for a RabbitMQ cluster, transient for oslo.messaging peers with default flags (not on RabbitMQ 4.3 or later). See docs/rabbitmq.md.',
    ),
    caFile: option(
      z.string(),
      '',
      'The authority (PEM) that a broker behind amqps:// must have its certificate from. Empty: those that this machine trusts.',
    ),
    certFile: option(z.string(), '', 'A certificate (PEM) to show to the broker, where it asks for one.'),
    keyFile: option(z.string(), '', 'The key (PEM) to bus.cert_file.'),
    callTimeoutSeconds: option(seconds, 60, 'How long a call waits for its answer.', { unit: 's' }),
    connectTimeoutSeconds: option(seconds, 5, 'How long a command waits for the bus before it gives up.', {
      unit: 's',
    }),
  }),
  database: z.strictObject({
    url: option(
      z.string(),
      '',
      'Where the database is: mysql://user:password@host/name or sqlite:/path. Empty: an SQLite file in the state directory. Only conductor and scheduler read it.',
      { secret: true },
    ),
    caFile: option(
      z.string(),
      '',
      'The authority (PEM) that the MySQL server must have its certificate from; with it nothing goes there but by TLS. Empty: no TLS.',
    ),
    certFile: option(z.string(), '', 'A certificate (PEM) to show to the MySQL server, where it asks for one.'),
    keyFile: option(z.string(), '', 'The key (PEM) to database.cert_file.'),
  }),
  broker: z.strictObject({
    listen: option(
      z.array(z.string().regex(listenAddress, 'each of them host:port, tls:host:port or unix:/path')),
      [],
      'More addresses of the embedded broker, besides its socket in the state directory: host:port, tls:host:port or unix:/path.',
    ),
    user: option(
      z.string().min(1),
      'nova',
      'The user that the embedded broker lets in; its password is made at first start.',
    ),
    caFile: option(
      z.string(),
      '',
      'Whoever comes by tls: must show a certificate from this authority (PEM). Empty: none is asked for.',
    ),
    certFile: option(z.string(), '', 'The certificate (PEM) of the addresses with tls:.'),
    keyFile: option(z.string(), '', 'The key (PEM) to broker.cert_file.'),
    heartbeatSeconds: option(whole, 60, 'A peer that is silent for two of these is dropped; 0 for never.', {
      unit: 's',
    }),
  }),
  conductor: z.strictObject({
    slots: option(z.int().positive(), 64, 'Requests that one conductor works on at once.'),
    imageDir: option(
      z.string(),
      '',
      'Where image files are kept; conductors on several machines must share it. Empty: images in the state directory.',
    ),
    eventsMax: option(z.int().positive(), 100_000, 'Events kept; the oldest go first.'),
    historyDays: option(z.int().positive(), 90, 'How long the record of a deleted instance stays.', { unit: 'days' }),
    operationsDays: option(z.int().positive(), 30, 'How long the record of an ended operation stays.', {
      unit: 'days',
    }),
  }),
  operations: z.strictObject({
    leaseSeconds: option(
      seconds,
      30,
      'A host that does not renew its hold on an operation within this time has lost it.',
      { unit: 's' },
    ),
    sweepSeconds: option(seconds, 2, 'How often lost messages and lapsed leases are looked for.', { unit: 's' }),
    resendSeconds: option(
      seconds,
      5,
      'How long an operation that nobody took up waits before its message is sent again; each time twice as long, up to six times this.',
      { unit: 's' },
    ),
    maxAttempts: option(z.int().positive(), 3, 'Hosts that a boot is tried on before it fails.'),
  }),
  notifications: z.strictObject({
    format: option(
      z.enum(['none', 'unversioned', 'versioned', 'both']),
      'none',
      'Notifications for listeners of oslo.messaging, and in which of the two formats of Nova; each boot costs about a tenth more with both. See docs/notifications.md.',
    ),
    maxLength: option(
      z.int().positive(),
      10_000,
      'Notifications that wait in one queue at most; the oldest go first. A queue that nobody reads would grow for ever.',
    ),
    ttlSeconds: option(
      seconds,
      3600,
      'How long a notification waits for a listener who has declared its queue and gone away.',
      { unit: 's' },
    ),
  }),
  services: z.strictObject({
    heartbeatSeconds: option(seconds, 10, 'How often each daemon says that it is alive.', { unit: 's' }),
    serviceDownTime: option(seconds, 30, 'A daemon that has said nothing for this long is down.', { unit: 's' }),
    pingSeconds: option(
      seconds,
      10,
      'How often each daemon calls itself through the bus; after two misses it connects anew, after two and a half of these it is degraded.',
      { unit: 's' },
    ),
  }),
  scheduler: z.strictObject({
    slots: option(z.int().positive(), 16, 'Placements that one scheduler works on at once.'),
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
      'Filters in the order in which they are asked.',
    ),
    weighers: option(
      z.record(z.string(), z.number()),
      { 'free-ram': 1, spread: 1, 'failed-recently': 2 },
      'Weighers and their multipliers.',
    ),
    cpuAllocationRatio: option(ratio, 4, 'Virtual CPUs promised per physical one.'),
    ramAllocationRatio: option(ratio, 1, 'Guest memory promised per physical.'),
    diskAllocationRatio: option(ratio, 1, 'Guest disk promised per physical.'),
    reservedHostMemoryMb: option(whole, 512, 'Memory of each host that is not for guests.', { unit: 'MiB' }),
    reservedHostDiskMb: option(whole, 1024, 'Disk of each host that is not for guests.', { unit: 'MiB' }),
  }),
  compute: z.strictObject({
    host: option(z.string(), '', 'The name of this host in the cloud. Empty: its host name.'),
    driver: option(
      z.string().min(1),
      'auto',
      'auto (qemu where it is installed, else fake), qemu, fake, or the name of a package that brings a driver.',
    ),
    accelerator: option(
      z.enum(['auto', 'kvm', 'tcg']),
      'auto',
      'auto tries KVM with a small guest, remembers the answer, and goes over to TCG if KVM fails under a guest. kvm and tcg insist.',
    ),
    cpuModel: option(
      z.string().regex(/^[\w.-]*$/, 'the name of one model'),
      '',
      'The processor that guests see, by a name from qemu-system-x86_64 -cpu help. Empty: host under KVM, all that QEMU can imitate under TCG. If the hosts of a cloud have different processors, name one model on all of them that each of them has, or running instances cannot move between them.',
    ),
    migrationAddress: option(
      z
        .string()
        .regex(/^([\d.]+|[\da-f:]+|[\da-z._-]+)$/i, 'an address or a host name')
        .refine((address) => !['0.0.0.0', '::'].includes(address), 'an address that other hosts can connect to'),
      '127.0.0.1',
      'Where this host takes the disks of instances that move to it, and the address that it names to their hosts; it listens only while one is expected. What passes is authenticated but not encrypted: use a network of the hosts alone.',
    ),
    migrationPort: option(
      z.int().min(0).max(65_535),
      0,
      'The port of compute.migration_address; 0: any free one, the same as long as the daemon lives.',
    ),
    availabilityZone: option(z.string().min(1), 'nova', 'The zone that this host is in.'),
    slots: option(z.int().positive(), 8, 'Operations that this host works on at once.'),
    shutdownTimeout: option(seconds, 60, 'How long a guest may take to shut down before its power is cut.', {
      unit: 's',
    }),
    reportSeconds: option(seconds, 60, 'How often resources and power states are compared.', { unit: 's' }),
    imageCacheGb: option(z.number().nonnegative(), 20, 'Unused image files are removed beyond this.', { unit: 'GiB' }),
  }),
  fake: z.strictObject({
    hosts: option(z.int().positive(), 1, 'Compute hosts that the fake driver plays in one process.'),
    vcpus: option(z.int().positive(), 64, 'CPUs of each pretended host.'),
    memoryMb: option(z.int().positive(), 262_144, 'Memory of each pretended host.', { unit: 'MiB' }),
    diskGb: option(z.int().positive(), 4096, 'Disk of each pretended host.', { unit: 'GiB' }),
    latencyMs: option(whole, 0, 'How long each action of the fake driver takes.', { unit: 'ms' }),
  }),
  quota: z.strictObject({
    instances: option(z.int().min(-1), -1, 'Instances of a project; -1 for no limit.'),
    cores: option(z.int().min(-1), -1, 'Virtual CPUs of a project; -1 for no limit.'),
    memoryMb: option(z.int().min(-1), -1, 'Memory of a project; -1 for no limit.', { unit: 'MiB' }),
  }),
  log: z.strictObject({
    level: option(
      z.enum(['debug', 'info', 'warn', 'error', 'silent']),
      'info',
      'The least important line that is written.',
    ),
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
/** The way back from {@link snake}. */
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
