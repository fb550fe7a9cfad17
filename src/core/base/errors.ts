/**
 * The one table of failures: everything that can go wrong for reasons outside our code, how a person reads each
 * failure, what to do about it, and which HTTP status and nova.exception class a peer sees. A wrong parameter for a
 * code does not compile.
 */

export type Row<P> = {
  /** HTTP status that an HTTP front end answers with. */
  readonly http: number
  /** The class of Python's nova.exception (or oslo_messaging) with the same meaning; this name travels as `class`. */
  readonly python: string
  /** One sentence: what happened, and to what. */
  readonly text: (p: P) => string
  /** What to do about it; shown under the text. */
  readonly hint?: (p: P) => string | undefined
  /**
   * What owners of instances read in place of a text that tells of hosts, paths and other programs; all of that is for
   * administrators. Unset: nothing in the text is.
   */
  readonly forOwners?: (text: string) => string
}
const row = <P>(r: Row<P>): Row<P> => r

const near = (names: readonly string[] | undefined) =>
  names && names.length > 0 ? `Did you mean ${names.map((n) => `"${n}"`).join(' or ')}?` : undefined

const capital = (word: string): string => word.charAt(0).toUpperCase() + word.slice(1)

type Named = { id: string; near?: string[] }

/** Every failure by its code. */
export const failures = {
  // Something that the request names does not exist.
  InstanceNotFound: row<Named>({
    http: 404,
    python: 'InstanceNotFound',
    text: (p) => `No instance "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova list',
  }),
  FlavorNotFound: row<Named>({
    http: 404,
    python: 'FlavorNotFound',
    text: (p) => `No flavor "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova flavor list',
  }),
  ImageNotFound: row<Named>({
    http: 404,
    python: 'ImageNotFound',
    text: (p) => `No image "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova image list',
  }),
  HostNotFound: row<Named>({
    http: 404,
    python: 'ComputeHostNotFound',
    text: (p) => `No host "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova host list',
  }),
  ServiceNotFound: row<Named>({
    http: 404,
    python: 'ServiceNotFound',
    text: (p) => `No service "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova service list',
  }),
  QueueNotFound: row<Named>({
    http: 404,
    python: 'NotFound',
    text: (p) => `No queue "${p.id}".`,
    hint: (p) => near(p.near) ?? 'List them: nova bus status',
  }),
  OperationNotFound: row<Named>({
    http: 404,
    python: 'InstanceActionNotFound',
    text: (p) => `No operation "${p.id}".`,
    hint: () => 'List them: nova operation list',
  }),
  AmbiguousName: row<{ kind: string; name: string; ids: string[]; isPrefix?: boolean }>({
    http: 409,
    python: 'Invalid',
    text: (p) =>
      p.isPrefix
        ? `The ids of ${p.ids.length} ${p.kind}s begin with "${p.name}".`
        : `${p.ids.length} ${p.kind}s are named "${p.name}".`,
    hint: (p) => `Use an id instead: ${p.ids.join(', ')}`,
  }),

  // The request cannot be carried out now.
  InstanceInvalidState: row<{ name: string; state: string; verb: string; allowed: string[]; first?: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) =>
      p.first
        ? `Cannot ${p.verb} ${p.name}: it is ${p.state}. ${capital(p.first)} it first.`
        : `Cannot ${p.verb} ${p.name}: it is ${p.state}.`,
    hint: (p) => (p.allowed.length > 0 ? `To ${p.verb} an instance, it must be ${p.allowed.join(' or ')}.` : undefined),
  }),
  InstanceBusy: row<{ name: string; task: string; operation: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `${p.name} is busy (${p.task}). An instance can have one operation at a time.`,
    hint: (p) => `Wait for it to end: nova operation follow ${p.operation}`,
  }),
  OperationNotOpen: row<{ id: string; state: string; verb: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `Cannot ${p.verb} operation ${p.id}: it has ${p.state}.`,
  }),
  OperationLost: row<{ id: string; why: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `Operation ${p.id} no longer belongs to this host: ${p.why}.`,
  }),
  OperationCancelled: row<{ id: string; step?: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `Operation ${p.id} was cancelled${p.step ? ` at step "${p.step}"` : ''}.`,
  }),
  DeadlinePassed: row<{ id: string; kind: string; step: string; seconds: number; last?: string }>({
    http: 504,
    python: 'MessagingTimeout',
    text: (p) =>
      `The ${p.kind} did not end within ${p.seconds} s. It had reached step "${p.step}"${p.last ? ` (${p.last})` : ''}.`,
    hint: (p) => `Try again: nova operation retry ${p.id}`,
    forOwners: (text) => text.replace(/(It had reached step "[^"]*") \([\s\S]*\)/, '$1'),
  }),
  FlavorExists: row<{ name: string }>({
    http: 409,
    python: 'FlavorExists',
    text: (p) => `A flavor named "${p.name}" already exists.`,
  }),
  ImageExists: row<{ name: string }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `An image named "${p.name}" already exists.`,
    hint: (p) => `Choose another name, or delete that image first: nova image delete ${p.name}`,
  }),
  ImageNotActive: row<{ name: string; status: string }>({
    http: 409,
    python: 'ImageNotActive',
    text: (p) => `Image "${p.name}" is ${p.status}: it must be active to boot from it.`,
  }),
  ImageUnusable: row<{ image: string; why: string }>({
    http: 409,
    python: 'ImageUnacceptable',
    text: (p) => `Image file ${p.image} cannot be used: ${p.why}.`,
    hint: () => 'Check the file where it came from (qemu-img check FILE), and upload it again: nova image create',
  }),
  ImageCorrupt: row<{ name: string; expected: string; actual: string }>({
    http: 409,
    python: 'ImageUnacceptable',
    text: (p) =>
      `Image "${p.name}" does not have the announced checksum: its sha256 is ${p.actual}, not ${p.expected}.`,
    hint: () => 'Upload it again: nova image create',
  }),
  FlavorTooSmall: row<{ flavor: string; image: string; what: string; needs: number; has: number; unit: string }>({
    http: 400,
    python: 'FlavorMemoryTooSmall',
    text: (p) =>
      `Flavor ${p.flavor} is too small for image ${p.image}: the image needs ${p.needs} ${p.unit} of ${p.what}, the flavor has ${p.has} ${p.unit}.`,
    hint: () => 'Choose a larger flavor: nova flavor list',
  }),
  QuotaExceeded: row<{ resource: string; limit: number; used: number; wanted: number; project?: string }>({
    http: 403,
    python: 'TooManyInstances',
    text: (p) =>
      `Quota${p.project ? ` of project ${p.project}` : ''} exceeded: ${p.resource} ${p.used} used + ${p.wanted} wanted > ${p.limit} allowed.`,
    hint: () => 'Delete what you do not need, or ask an administrator to raise the quota.',
  }),
  NoValidHost: row<{ reason: string; instance?: string; hint?: string }>({
    http: 500,
    python: 'NoValidHost',
    text: (p) => `No valid host was found: ${p.reason}`,
    hint: (p) => p.hint ?? (p.instance ? `The reason for each host: nova explain ${p.instance}` : undefined),
    forOwners: (text) => text.replace(/; on \S+ it failed: [\s\S]*$/, '; on its host it failed.'),
  }),
  HostMismatch: row<{ host: string; known: string; presented: string }>({
    http: 409,
    python: 'Invalid',
    forOwners: () => 'Its host has the name of another machine.',
    text: (p) => `Host name ${p.host} belongs to another machine (host id ${p.known}, this one is ${p.presented}).`,
    hint: () => 'Give this host another name (compute.host), or restore its state directory.',
  }),
  HostInUse: row<{ host: string; what: string; why: string; hint: string }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `Host ${p.host} cannot be ${p.what}: ${p.why}.`,
    hint: (p) => p.hint,
  }),
  DriverFailed: row<{ action: string; why: string }>({
    http: 500,
    python: 'HypervisorUnavailable',
    text: (p) => `The hypervisor could not ${p.action}: ${p.why}`,
    forOwners: (text) => `${/^The hypervisor could not [a-z ]{1,64}(?=:)/.exec(text)?.[0] ?? 'The hypervisor failed'}.`,
  }),
  TransferFailed: row<{ why: string }>({
    http: 500,
    python: 'MigrationError',
    text: (p) => `The instance could not be copied to its new host: ${p.why.replace(/\.$/, '')}.`,
    forOwners: () => 'The instance could not be copied to its new host.',
    hint: () => 'The instance is unchanged on its host.',
  }),
  GuestCrashed: row<{ name: string; words?: string }>({
    http: 500,
    python: 'InstancePowerOnFailure',
    text: (p) => `The guest of ${p.name} has crashed${p.words ? `: ${p.words.replace(/\.$/, '')}` : ''}.`,
    hint: (p) => `Read its console: nova console-log ${p.name}; start it again: nova reboot --hard ${p.name}`,
    forOwners: (text) => text.replace(/( has crashed): [\s\S]*$/, '$1.'),
  }),

  // The request itself.
  InvalidRequest: row<{ what: string; hint?: string }>({
    http: 400,
    python: 'Invalid',
    text: (p) => p.what,
    hint: (p) => p.hint,
  }),
  Forbidden: row<{ what: string }>({ http: 403, python: 'Forbidden', text: (p) => p.what }),

  // The bus, the database, and other services that we depend on.
  HostDown: row<{ host: string; seconds: number }>({
    http: 503,
    python: 'ComputeServiceUnavailable',
    text: (p) => `The compute service on ${p.host} is down: it has not reported for more than ${p.seconds} s.`,
    hint: () => 'Is the daemon running? nova service list',
  }),
  HostUnreachable: row<{ target: string }>({
    http: 503,
    python: 'ComputeServiceUnavailable',
    text: (p) => `No daemon consumes the queue of ${p.target} on the bus.`,
    hint: () => 'Is the daemon running? nova service list. Start one: nova up; on several machines: nova daemon --help',
  }),
  CallTimeout: row<{ target: string; method: string; seconds: number }>({
    http: 504,
    python: 'MessagingTimeout',
    text: (p) => `No answer from ${p.target} to "${p.method}" within ${p.seconds} s.`,
    hint: () => 'The request may have been carried out all the same: check before you repeat it. nova operation list',
  }),
  BusDown: row<{ url: string; why: string }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    forOwners: () => 'The bus cannot be reached.',
    text: (p) => `The bus at ${p.url} cannot be reached: ${p.why}.`,
    hint: () => 'Start a cloud on this machine: nova up. Or name another bus: NOVA_BUS_URL=amqp://…',
  }),
  BusBlocked: row<{ url: string; why: string; seconds: number }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    forOwners: () => 'The bus accepts no messages.',
    text: (p) => `The bus at ${p.url} accepts no messages (waited ${p.seconds} s): ${p.why}.`,
    hint: () =>
      "Operations continue when the broker accepts messages again. On the broker's machine, nova doctor shows which queue is full; RabbitMQ without bus.management_url: rabbitmqctl list_queues name messages memory",
  }),
  BusRefused: row<{ url: string; why: string }>({
    http: 403,
    python: 'MessageDeliveryFailure',
    forOwners: () => 'The bus refused a login.',
    text: (p) =>
      `The bus at ${p.url} refused ${lacksPermission(p.why) ? 'access' : 'the login'}: ${p.why.replace(/\.$/, '')}.`,
    hint: (p) =>
      lacksPermission(p.why)
        ? "Give that user the permission on the broker (docs/rabbitmq.md; for a host's login: nova host add)."
        : 'Check the user and password in NOVA_BUS_URL or the configuration: nova config show',
  }),
  BusConflict: row<{ url: string; why: string }>({
    http: 409,
    python: 'MessageDeliveryFailure',
    forOwners: () => 'The bus has a different queue or exchange of that name.',
    text: (p) =>
      `The bus at ${p.url} already has a different queue or exchange of that name: ${p.why.replace(/\.$/, '')}.`,
    hint: (p) =>
      /RESOURCE.LOCKED/.test(p.why)
        ? 'Another daemon with the same name is connected: stop it, or give this one another name (compute.host).'
        : 'All daemons and commands must have the same bus.queues. Delete on the broker what an earlier setting left there (docs/rabbitmq.md).',
  }),
  BusUntrusted: row<{ url: string; why: string }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    forOwners: () => 'The bus could not be verified.',
    text: (p) => `The bus at ${p.url} could not be verified: ${p.why}.`,
    hint: () =>
      'Set bus.ca_file to the CA that signed its certificate, and use a host name in bus.url that the certificate covers.',
  }),
  ManagementFailed: row<{ url: string; why: string; hint: string; status?: number }>({
    http: 503,
    python: 'ServiceUnavailable',
    forOwners: () => 'The management API of the broker has failed.',
    text: (p) => `The request to the broker's management API (${p.url}) failed: ${p.why}.`,
    hint: (p) => p.hint,
  }),
  ListenFailed: row<{ address: string; why: string }>({
    http: 500,
    python: 'Invalid',
    forOwners: () => 'A daemon could not start.',
    text: (p) => `Cannot listen on ${p.address}: ${p.why}.`,
    hint: () => 'Is a cloud already running on this machine? nova status',
  }),
  StartFailed: row<{ why: string; log: string }>({
    http: 500,
    python: 'Invalid',
    forOwners: () => 'A daemon could not start.',
    text: (p) => `The cloud did not start: ${p.why}`,
    hint: (p) => `Its log: ${p.log}`,
  }),
  DatabaseDown: row<{ why: string }>({
    http: 503,
    python: 'ServiceUnavailable',
    text: (p) => `The database cannot be reached: ${p.why.replace(/\.+$/, '')}.`,
    hint: () => 'The change may not have been saved: check before you repeat it. Find the problem: nova doctor',
    forOwners: () => 'The database cannot be reached.',
  }),
  UnknownMethod: row<{ topic: string; method: string }>({
    http: 400,
    python: 'NoSuchMethod',
    forOwners: () => 'Two daemons of the cloud are of versions that do not go together.',
    text: (p) => `${p.topic} has no method "${p.method}".`,
    hint: () => 'Do both sides have the same version? nova status',
  }),
  UnsupportedVersion: row<{ topic: string; version: string; supported: string; what?: string }>({
    http: 400,
    python: 'UnsupportedVersion',
    forOwners: () => 'Two daemons of the cloud are of versions that do not go together.',
    text: (p) =>
      p.what === undefined
        ? `${p.topic} speaks version ${p.supported}, but the message has version ${p.version}.`
        : `${p.topic} does not know ${p.what}: it speaks version ${p.supported}, and ${p.version} is needed.`,
    hint: (p) => `Update ${p.what === undefined ? 'the older side' : p.topic}. Versions: nova service list`,
  }),
  ConfigInvalid: row<{ key: string; value: string; allowed: string; source: string; hint?: string }>({
    http: 500,
    python: 'InvalidConfiguration',
    forOwners: () => 'A daemon is configured wrongly.',
    text: (p) => `Invalid configuration: ${p.key} = ${p.value} (${p.source}): ${p.allowed}.`,
    hint: (p) => p.hint ?? 'All options: nova config docs',
  }),
} as const

export type Code = keyof typeof failures
export type Params<C extends Code> = (typeof failures)[C] extends Row<infer P> ? P : never

/** Whether a broker let the login in, but not to a queue or an exchange. */
const lacksPermission = (why: string): boolean => /access to (queue|exchange|topic)/.test(why)

/** A failure that may cross the wire: what happened (`code`), and to what (`params`). Never extend this class. */
export class Failure<C extends Code = Code> extends Error {
  readonly code: C
  readonly params: Params<C>

  constructor(code: C, params: Params<C>, cause?: unknown) {
    super((failures[code] as unknown as Row<Params<C>>).text(params), { cause })
    this.name = code
    this.code = code
    this.params = params
  }

  /** What to do about the failure; undefined if there is nothing to say. */
  get hint(): string | undefined {
    return (failures[this.code] as unknown as Row<Params<C>>).hint?.(this.params)
  }

  get http(): number {
    return failures[this.code].http
  }
}

/** Fails the request for a reason outside our code (see {@link failures}); for our own mistakes use {@link assert}. */
export function fail<C extends Code>(code: C, params: Params<C>, cause?: unknown): never {
  throw new Failure(code, params, cause)
}

/** Whether `e` is a failure and, if `code` is given, has that code. */
export function isFailure<C extends Code = Code>(e: unknown, code?: C): e is Failure<C> {
  return e instanceof Failure && (code === undefined || e.code === code)
}

/**
 * A failure from the other side that has no row in {@link failures}: a bug there, or a peer that is not nova.
 * `remoteStack` is for `--debug` only.
 */
export class RemoteError extends Error {
  readonly remoteClass: string
  readonly remoteMessage: string
  readonly requestId: string | undefined
  readonly remoteStack: string

  constructor(remoteClass: string, message: string, requestId: string | undefined, remoteStack: string) {
    super(`The other side failed with ${remoteClass}: ${message}${requestId ? ` (${requestId})` : ''}`)
    this.name = 'RemoteError'
    this.remoteClass = remoteClass
    this.remoteMessage = message
    this.requestId = requestId
    this.remoteStack = remoteStack
  }
}

/** For our own mistakes: if the condition is false, that is a bug; the request fails and the stack is logged. */
export function assert(truth: unknown, why: string): asserts truth {
  if (!truth) throw new Error(`bug: ${why}`)
}

/** The message of anything thrown, for logs and `why` parameters. */
export const reason = (e: unknown): string => (e instanceof Error ? e.message : String(e))
