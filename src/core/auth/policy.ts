import { fail } from '../base/errors.ts'
import type { broker } from '../contracts/broker.ts'
import type { conductor } from '../contracts/conductor.ts'
import type { Context } from '../model/context.ts'
import type { OperationKind } from '../model/operation.ts'

/** The roles of a caller, each including the ones before it. `anyone` has no role at all. */
const roles = ['anyone', 'reader', 'member', 'admin'] as const
type Role = (typeof roles)[number]

type Check = {
  /** The role that the caller needs at least. */
  readonly role: Role
  /** Whether the target must belong to the caller's own project; administrators are exempt. */
  readonly owner?: true
  /** The action, as it follows "may" in the refusal. */
  readonly may: string
}

const look = (may: string): Check => ({ role: 'reader', may })
const lookAtOwn = (may: string): Check => ({ role: 'reader', owner: true, may })
const make = (may: string): Check => ({ role: 'member', may })
const changeOwn = (may: string): Check => ({ role: 'member', owner: true, may })
const administer = (may: string): Check => ({ role: 'admin', may })

const names = <R extends string>(rules: Readonly<Record<R, Check>>): Readonly<Record<R, Check>> => rules

/**
 * Who may do what: the one table, for all front ends. The names are those of Nova and Glance, as operators find them in
 * `policy.yaml`; names that begin with `nova:` are ours, for what Nova does not have.
 */
const rules = names({
  'os_compute_api:servers:index': look('list instances'),
  'os_compute_api:servers:index:get_all_tenants': administer('see the instances of all projects'),
  'os_compute_api:servers:allow_all_filters': administer('list the instances of a host'),
  'os_compute_api:servers:show': lookAtOwn('see instances'),
  'os_compute_api:servers:create': make('boot instances'),
  'os_compute_api:servers:create:forced_host': administer('choose the host of an instance'),
  'os_compute_api:servers:update': changeOwn('rename instances'),
  'os_compute_api:servers:delete': changeOwn('delete instances'),
  'os_compute_api:servers:start': changeOwn('start instances'),
  'os_compute_api:servers:stop': changeOwn('stop instances'),
  'os_compute_api:servers:reboot': changeOwn('reboot instances'),
  'os_compute_api:os-pause-server:pause': changeOwn('pause instances'),
  'os_compute_api:os-pause-server:unpause': changeOwn('unpause instances'),
  'os_compute_api:os-suspend-server:suspend': changeOwn('suspend instances'),
  'os_compute_api:os-suspend-server:resume': changeOwn('resume instances'),
  // As in Nova: only administrators may move an instance or name the host.
  'os_compute_api:os-migrate-server:migrate': administer('migrate instances'),
  'os_compute_api:os-migrate-server:migrate:host': administer('choose the host that an instance moves to'),
  // As in Nova, for members: the console output of a guest may contain a password.
  'os_compute_api:os-console-output': changeOwn('read consoles'),
  // The host of an instance, an operation, an event or a placement.
  'os_compute_api:os-extended-server-attributes': administer('see the host of an instance'),
  'nova:servers:explain': lookAtOwn('see how instances were placed'),
  'nova:servers:create:dry_run': look('try out the placement of an instance'),

  'nova:flavors:list': look('list flavors'),
  'nova:flavors:show': look('see flavors'),
  'os_compute_api:os-flavor-manage:create': administer('create flavors'),
  'os_compute_api:os-flavor-manage:delete': administer('delete flavors'),

  get_images: look('list images'),
  get_image: look('see images'),
  add_image: make('create images'),
  upload_image: changeOwn('upload images'),
  delete_image: changeOwn('delete images'),
  publicize_image: administer('make images public'),

  'os_compute_api:os-quota-sets:show': lookAtOwn('see quotas'),
  'nova:quota-sets:list': administer('list the quotas of all projects'),
  'os_compute_api:os-quota-sets:update': administer('set quotas'),

  'os_compute_api:os-services:list': administer('see the services'),
  'os_compute_api:os-services:update': administer('enable and disable services'),
  'os_compute_api:os-hypervisors:list': administer('see the hosts'),
  'os_compute_api:os-hypervisors:show': administer('see the hosts'),
  'nova:hosts:update': administer('change hosts'),
  'nova:hosts:add': administer('add hosts'),
  'nova:hosts:delete': administer('delete hosts'),

  'nova:bus:status': administer('see the queues'),
  'nova:bus:purge': administer('purge queues'),

  'nova:operations:list': look('list operations'),
  'nova:operations:show': lookAtOwn('see operations'),
  'nova:operations:cancel': changeOwn('cancel operations'),
  'nova:operations:retry': changeOwn('retry operations'),
  'nova:events:list': look('list events'),

  'nova:status': look('see the status of the cloud'),
  'nova:status:all_projects': administer('count the instances and operations of all projects'),
  'nova:ping': { role: 'anyone', may: 'ping the conductor' },
})

/** The name of a rule. */
export type Rule = keyof typeof rules

/** The rule for each kind of operation; a kind without one does not compile. */
const rulesOfKinds: Readonly<Record<OperationKind, Rule>> = {
  boot: 'os_compute_api:servers:create',
  pause: 'os_compute_api:os-pause-server:pause',
  unpause: 'os_compute_api:os-pause-server:unpause',
  suspend: 'os_compute_api:os-suspend-server:suspend',
  resume: 'os_compute_api:os-suspend-server:resume',
  stop: 'os_compute_api:servers:stop',
  start: 'os_compute_api:servers:start',
  reboot: 'os_compute_api:servers:reboot',
  'reboot-hard': 'os_compute_api:servers:reboot',
  migrate: 'os_compute_api:os-migrate-server:migrate',
  delete: 'os_compute_api:servers:delete',
  'delete-image': 'delete_image',
}

/** The rule that decides whether an operation of this kind may begin. */
export const ruleOfKind = (kind: OperationKind): Rule => rulesOfKinds[kind]

type Method = keyof (typeof conductor)['methods']

/**
 * The rule for each message to the conductor; a message without one does not compile. `begin` uses the rule of its
 * kind.
 */
const rulesOfMethods: Readonly<Record<Exclude<Method, 'begin'>, Rule>> = {
  boot: 'os_compute_api:servers:create',
  bootDryRun: 'nova:servers:create:dry_run',
  instanceList: 'os_compute_api:servers:index',
  instanceShow: 'os_compute_api:servers:show',
  instanceRename: 'os_compute_api:servers:update',
  consoleLog: 'os_compute_api:os-console-output',
  explain: 'nova:servers:explain',
  flavorList: 'nova:flavors:list',
  flavorShow: 'nova:flavors:show',
  flavorCreate: 'os_compute_api:os-flavor-manage:create',
  flavorDelete: 'os_compute_api:os-flavor-manage:delete',
  imageList: 'get_images',
  imageShow: 'get_image',
  imageCreate: 'add_image',
  imageWrite: 'upload_image',
  imageDelete: 'delete_image',
  quotaShow: 'os_compute_api:os-quota-sets:show',
  quotaList: 'nova:quota-sets:list',
  quotaSet: 'os_compute_api:os-quota-sets:update',
  serviceList: 'os_compute_api:os-services:list',
  serviceSet: 'os_compute_api:os-services:update',
  hostList: 'os_compute_api:os-hypervisors:list',
  hostShow: 'os_compute_api:os-hypervisors:show',
  hostSet: 'nova:hosts:update',
  hostAcceptCapacity: 'nova:hosts:update',
  hostAdd: 'nova:hosts:add',
  hostDelete: 'nova:hosts:delete',
  busStatus: 'nova:bus:status',
  busPurge: 'nova:bus:purge',
  operationList: 'nova:operations:list',
  operationFind: 'nova:operations:show',
  operationShow: 'nova:operations:show',
  operationCancel: 'nova:operations:cancel',
  operationRetry: 'nova:operations:retry',
  eventList: 'nova:events:list',
  status: 'nova:status',
  ping: 'nova:ping',
}

/** The rule that decides whether a message to the conductor is carried out. */
export const ruleOfMessage = (method: Method, args: unknown): Rule =>
  method === 'begin' ? ruleOfKind((args as { kind: OperationKind }).kind) : rulesOfMethods[method]

type KeeperMethod = keyof (typeof broker)['methods']

/** The rule for each message to whoever keeps the broker: it makes logins, so the conductor's word for its caller counts. */
const rulesOfKeeper: Readonly<Record<KeeperMethod, Rule>> = {
  queueList: 'nova:bus:status',
  queuePurge: 'nova:bus:purge',
  userPut: 'nova:hosts:add',
  userDelete: 'nova:hosts:delete',
}

/** The rule that decides whether a message to the keeper of the broker is carried out. */
export const ruleOfKeeping = (method: KeeperMethod): Rule => rulesOfKeeper[method]

/** The target of an action: the project that it belongs to, and its name for the refusal (`Image "debian"`). */
export type Target = { readonly projectId: string; readonly what: string }

/**
 * Returns if the rule allows the action, otherwise fails with `Forbidden`. Without a target only the role is checked:
 * every message is checked so before anything is read. With a target, ownership is checked, too: code that resolves a
 * target calls it.
 */
export function allow(ctx: Context, rule: Rule, target?: Target): void {
  const { role, may } = rules[rule]
  if (!has(ctx, role)) fail('Forbidden', { what: `Only ${people[role]} may ${may}.` })
  if (target && !permits(ctx, rule, target))
    fail('Forbidden', {
      what: `${target.what} belongs to another project: only administrators may ${may} of other projects.`,
    })
}

/** Whether the caller may do what the rule is about (to this target). */
export function permits(ctx: Context, rule: Rule, target?: Pick<Target, 'projectId'>): boolean {
  const { role, owner }: Check = rules[rule]
  const own = !owner || !target || has(ctx, 'admin') || target.projectId === ctx.projectId
  return has(ctx, role) && own
}

const people: Readonly<Record<Role, string>> = {
  anyone: 'anyone',
  reader: 'readers, members and administrators',
  member: 'members and administrators',
  admin: 'administrators',
}

const has = (ctx: Context, role: Role): boolean => roles.indexOf(roleOf(ctx)) >= roles.indexOf(role)

function roleOf(ctx: Context): Role {
  if (ctx.isAdmin) return 'admin'
  if (ctx.roles.includes('member')) return 'member'
  return ctx.roles.includes('reader') ? 'reader' : 'anyone'
}
