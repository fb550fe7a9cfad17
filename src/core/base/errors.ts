/**
 * The one table of failures: what may go wrong for reasons outside our code, how each is said to a person, what they can
 * do about it, and which HTTP status and nova.exception class a peer sees. A wrong parameter for a code does not compile.
 */

type Row<P> = {
  /** HTTP status that the web faces answer with. */
  readonly http: number
  /** The class of Python's nova.exception (or oslo_messaging) with the same meaning; it is what travels as `class`. */
  readonly python: string
  /** One sentence: what happened, and to what. */
  readonly text: (p: P) => string
  /** What to do about it; shown under the text. */
  readonly hint?: (p: P) => string | undefined
}
const row = <P>(r: Row<P>): Row<P> => r

const near = (names: readonly string[] | undefined) =>
  names && names.length > 0 ? `Did you mean ${names.map((n) => `"${n}"`).join(' or ')}?` : undefined

type Named = { id: string; near?: string[] }

/** Every failure by its code. */
export const failures = {
  // What was asked for is not there.
  InstanceNotFound: row<Named>({
    http: 404,
    python: 'InstanceNotFound',
    text: (p) => `No instance "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova list',
  }),
  FlavorNotFound: row<Named>({
    http: 404,
    python: 'FlavorNotFound',
    text: (p) => `No flavor "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova flavor list',
  }),
  ImageNotFound: row<Named>({
    http: 404,
    python: 'ImageNotFound',
    text: (p) => `No image "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova image list',
  }),
  HostNotFound: row<Named>({
    http: 404,
    python: 'ComputeHostNotFound',
    text: (p) => `No host "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova host list',
  }),
  ServiceNotFound: row<Named>({
    http: 404,
    python: 'ServiceNotFound',
    text: (p) => `No service "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova service list',
  }),
  QueueNotFound: row<Named>({
    http: 404,
    python: 'NotFound',
    text: (p) => `No queue "${p.id}".`,
    hint: (p) => near(p.near) ?? 'See them all: nova bus status',
  }),
  OperationNotFound: row<Named>({
    http: 404,
    python: 'InstanceActionNotFound',
    text: (p) => `No operation "${p.id}".`,
    hint: () => 'See them all: nova operation list',
  }),
  AmbiguousName: row<{ kind: string; name: string; ids: string[] }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `${p.ids.length} ${p.kind}s are called "${p.name}".`,
    hint: (p) => `Say which by id: ${p.ids.join(', ')}`,
  }),

  // What was asked for cannot be done now.
  InstanceInvalidState: row<{ name: string; state: string; verb: string; allowed: string[]; first?: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) =>
      p.first
        ? `Cannot ${p.verb} ${p.name}: it is ${p.state}. ${p.first[0]?.toUpperCase()}${p.first.slice(1)} it first.`
        : `Cannot ${p.verb} ${p.name}: it is ${p.state}.`,
    hint: (p) =>
      p.allowed.length > 0 ? `${p.verb} works on an instance that is ${p.allowed.join(' or ')}.` : undefined,
  }),
  InstanceBusy: row<{ name: string; task: string; operation: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `${p.name} is ${p.task}: one operation at a time.`,
    hint: (p) => `Wait for it: nova operation follow ${p.operation}`,
  }),
  OperationNotOpen: row<{ id: string; state: string; verb: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `Cannot ${p.verb} operation ${p.id}: it has ${p.state}.`,
  }),
  OperationLost: row<{ id: string; why: string }>({
    http: 409,
    python: 'InstanceInvalidState',
    text: (p) => `Operation ${p.id} is no longer this host's to carry out: ${p.why}.`,
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
      `The ${p.kind} did not end within ${p.seconds} s; it had reached step "${p.step}"${p.last ? ` (${p.last})` : ''}.`,
    hint: (p) => `Try it again: nova operation retry ${p.id}`,
  }),
  FlavorExists: row<{ name: string }>({
    http: 409,
    python: 'FlavorExists',
    text: (p) => `There is a flavor "${p.name}" already.`,
  }),
  ImageExists: row<{ name: string }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `There is an image "${p.name}" already.`,
    hint: (p) => `Choose another name, or delete it first: nova image delete ${p.name}`,
  }),
  ImageNotActive: row<{ name: string; status: string }>({
    http: 409,
    python: 'ImageNotActive',
    text: (p) => `Image "${p.name}" is ${p.status}, so nothing can boot from it.`,
  }),
  ImageCorrupt: row<{ name: string; expected: string; actual: string }>({
    http: 409,
    python: 'ImageUnacceptable',
    text: (p) => `Image "${p.name}" is not what was announced: sha256 ${p.actual}, not ${p.expected}.`,
    hint: () => 'Upload it again: nova image create',
  }),
  FlavorTooSmall: row<{ flavor: string; image: string; what: string; needs: number; has: number; unit: string }>({
    http: 400,
    python: 'FlavorMemoryTooSmall',
    text: (p) =>
      `Flavor ${p.flavor} is too small for image ${p.image}: ${p.needs} ${p.unit} of ${p.what} needed, ${p.has} ${p.unit} in the flavor.`,
    hint: () => 'Choose a larger one: nova flavor list',
  }),
  QuotaExceeded: row<{ resource: string; limit: number; used: number; wanted: number; project?: string }>({
    http: 403,
    python: 'TooManyInstances',
    text: (p) =>
      `Quota${p.project ? ` of project ${p.project}` : ''} exceeded: ${p.resource} ${p.used} used + ${p.wanted} wanted > ${p.limit} allowed.`,
    hint: () => 'Delete what is not needed, or ask an administrator for more.',
  }),
  NoValidHost: row<{ reason: string; instance?: string }>({
    http: 500,
    python: 'NoValidHost',
    text: (p) => `No host can take it: ${p.reason}`,
    hint: (p) => (p.instance ? `Each host's reason: nova explain ${p.instance}` : undefined),
  }),
  HostMismatch: row<{ host: string; known: string; presented: string }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `Host name ${p.host} belongs to another machine (host id ${p.known}, this one is ${p.presented}).`,
    hint: () => 'Give this host another name (compute.host), or bring back its state directory.',
  }),
  HostInUse: row<{ host: string; why: string; hint: string }>({
    http: 409,
    python: 'Invalid',
    text: (p) => `Host ${p.host} cannot be deleted: ${p.why}.`,
    hint: (p) => p.hint,
  }),
  DriverFailed: row<{ action: string; why: string }>({
    http: 500,
    python: 'HypervisorUnavailable',
    text: (p) => `The hypervisor could not ${p.action}: ${p.why}`,
  }),
  TransferFailed: row<{ why: string }>({
    http: 500,
    python: 'MigrationError',
    text: (p) => `The instance could not be copied to its new host: ${p.why.replace(/\.$/, '')}.`,
    hint: () => 'It is unchanged on the host that it was on.',
  }),
  GuestCrashed: row<{ name: string; words?: string }>({
    http: 500,
    python: 'InstancePowerOnFailure',
    text: (p) => `The guest of ${p.name} has crashed${p.words ? `: ${p.words.replace(/\.$/, '')}` : ''}.`,
    hint: (p) => `See its last words: nova console-log ${p.name}; start it anew: nova reboot --hard ${p.name}`,
  }),

  // The request itself.
  InvalidRequest: row<{ what: string; hint?: string }>({
    http: 400,
    python: 'Invalid',
    text: (p) => p.what,
    hint: (p) => p.hint,
  }),
  Forbidden: row<{ what: string }>({ http: 403, python: 'Forbidden', text: (p) => p.what }),

  // The bus, the database, and what stands behind them.
  HostUnreachable: row<{ target: string }>({
    http: 503,
    python: 'ComputeServiceUnavailable',
    text: (p) => `Nobody answers for ${p.target} on the bus: no consumer.`,
    hint: () => 'Is its daemon running? nova service list; start one: nova up',
  }),
  CallTimeout: row<{ target: string; method: string; seconds: number }>({
    http: 504,
    python: 'MessagingTimeout',
    text: (p) => `No answer from ${p.target} to "${p.method}" within ${p.seconds} s.`,
    hint: () => 'It may still have been done: look before you repeat. nova operation list',
  }),
  BusDown: row<{ url: string; why: string }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    text: (p) => `The bus at ${p.url} cannot be reached: ${p.why}.`,
    hint: () => 'Start a cloud on this machine: nova up; or name another bus: NOVA_BUS_URL=amqp://…',
  }),
  BusBlocked: row<{ url: string; why: string; seconds: number }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    text: (p) => `The bus at ${p.url} takes no messages (waited ${p.seconds} s): ${p.why}.`,
    hint: () =>
      'Operations go on when it takes them again. Where bus.management_url is set, nova doctor tells which queue is full; else on the broker: rabbitmqctl list_queues name messages memory',
  }),
  BusRefused: row<{ url: string; why: string }>({
    http: 403,
    python: 'MessageDeliveryFailure',
    text: (p) => `The bus at ${p.url} refused the login: ${p.why.replace(/\.$/, '')}.`,
    hint: () => 'Check user and password in NOVA_BUS_URL or the configuration: nova config show',
  }),
  BusConflict: row<{ url: string; why: string }>({
    http: 409,
    python: 'MessageDeliveryFailure',
    text: (p) => `The bus at ${p.url} has a queue or an exchange that is in the way: ${p.why.replace(/\.$/, '')}.`,
    hint: (p) =>
      /RESOURCE.LOCKED/.test(p.why)
        ? 'Another daemon of the same name is connected: stop it, or give this one another name (compute.host).'
        : 'All daemons and commands need the same bus.queues; what an earlier setting left on the broker must be deleted there (docs/rabbitmq.md).',
  }),
  BusUntrusted: row<{ url: string; why: string }>({
    http: 503,
    python: 'MessageDeliveryFailure',
    text: (p) => `The bus at ${p.url} is not to be trusted: ${p.why}.`,
    hint: () =>
      'Name the authority that it has its certificate from in bus.ca_file, and the name in the certificate in bus.url.',
  }),
  ManagementFailed: row<{ url: string; why: string; hint: string; status?: number }>({
    http: 503,
    python: 'ServiceUnavailable',
    text: (p) => `The broker's management (${p.url}) did not do it: ${p.why}.`,
    hint: (p) => p.hint,
  }),
  ListenFailed: row<{ address: string; why: string }>({
    http: 500,
    python: 'Invalid',
    text: (p) => `Cannot listen on ${p.address}: ${p.why}.`,
    hint: () => 'Is a cloud running on this machine already? nova status',
  }),
  StartFailed: row<{ why: string; log: string }>({
    http: 500,
    python: 'Invalid',
    text: (p) => `The cloud did not start: ${p.why}`,
    hint: (p) => `Its log: ${p.log}`,
  }),
  DatabaseDown: row<{ why: string }>({
    http: 503,
    python: 'ServiceUnavailable',
    text: (p) => `The database cannot be reached: ${p.why}.`,
    hint: () => 'The change may not have been saved: check before you repeat it. What is wrong: nova doctor',
  }),
  UnknownMethod: row<{ topic: string; method: string }>({
    http: 400,
    python: 'NoSuchMethod',
    text: (p) => `${p.topic} has no method "${p.method}".`,
    hint: () => 'Are both sides of the same version? nova status',
  }),
  UnsupportedVersion: row<{ topic: string; version: string; supported: string; what?: string }>({
    http: 400,
    python: 'UnsupportedVersion',
    text: (p) =>
      p.what === undefined
        ? `${p.topic} speaks version ${p.supported}, the message is of version ${p.version}.`
        : `${p.topic} does not know ${p.what}: it speaks version ${p.supported}, and ${p.version} is needed.`,
    hint: (p) => `Update ${p.what === undefined ? 'the older side' : p.topic}. Versions: nova service list`,
  }),
  ConfigInvalid: row<{ key: string; value: string; allowed: string; source: string }>({
    http: 500,
    python: 'InvalidConfiguration',
    text: (p) => `Configuration: ${p.key} = ${p.value} (${p.source}): ${p.allowed}.`,
    hint: () => 'All options: nova config docs',
  }),
} as const

export type Code = keyof typeof failures
export type Params<C extends Code> = (typeof failures)[C] extends Row<infer P> ? P : never

/** A failure that may cross the wire: what happened (`code`), and to what (`params`). Never extended. */
export class Failure<C extends Code = Code> extends Error {
  readonly code: C
  readonly params: Params<C>

  constructor(code: C, params: Params<C>, cause?: unknown) {
    super((failures[code] as unknown as Row<Params<C>>).text(params), { cause })
    this.name = code
    this.code = code
    this.params = params
  }

  /** What to do about it; undefined where there is nothing to say. */
  get hint(): string | undefined {
    return (failures[this.code] as unknown as Row<Params<C>>).hint?.(this.params)
  }

  get http(): number {
    return failures[this.code].http
  }
}

/** Ends the request with a failure of the world (see {@link failures}); for our own mistakes use {@link assert}. */
export function fail<C extends Code>(code: C, params: Params<C>, cause?: unknown): never {
  throw new Failure(code, params, cause)
}

/** Whether `e` is a failure, and of that code where one is given. */
export function isFailure<C extends Code = Code>(e: unknown, code?: C): e is Failure<C> {
  return e instanceof Failure && (code === undefined || e.code === code)
}

/**
 * A failure from the other side that has no row in {@link failures}: a bug there, or a peer of another make.
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

/** For our own mistakes: a false assertion is a bug, ends the request and is logged with its stack. */
export function assert(truth: unknown, why: string): asserts truth {
  if (!truth) throw new Error(`bug: ${why}`)
}

/** The text of anything thrown, for logs and `why` parameters. */
export const reason = (e: unknown): string => (e instanceof Error ? e.message : String(e))
