import { Failure, isFailure, RemoteError } from '../base/errors.ts'
import { textForOwners } from '../base/fault-texts.ts'
import type { conductor } from '../contracts/conductor.ts'
import type {
  Decision,
  Event,
  Fault,
  Instance,
  InstanceSummary,
  Operation,
  OperationSummary,
} from '../contracts/shapes.ts'
import { sharedTopics } from '../model/shared-topics.ts'
import type { Result } from '../rpc/contract.ts'

/*
 * On which host something is, and what hosts there are, is for administrators: Nova's
 * os_compute_api:os-extended-server-attributes. Answers to everybody else are made here.
 */

type Conductor = typeof conductor
type Method = keyof Conductor['methods']

/** An answer as callers see it who may not see hosts. */
export const answerWithoutHosts = <M extends Method>(method: M, answer: Result<Conductor, M>): Result<Conductor, M> =>
  answers[method](answer)

const same = <T>(answer: T): T => answer

/** What is left out of each answer; a method without a row does not compile. */
const answers: { readonly [M in Method]: (answer: Result<Conductor, M>) => Result<Conductor, M> } = {
  boot: same,
  bootDryRun: (answer) => ({ ...answer, decision: ofDecision(answer.decision) }),
  begin: same,
  instanceList: ({ instances, ...more }) => ({ instances: instances.map(ofInstance), ...more }),
  instanceShow: (instance) => ofFullInstance(instance),
  instanceRename: (instance) => ofFullInstance(instance),
  consoleLog: same,
  explain: ({ instance, decision, operation }) => ({
    instance: ofInstance(instance),
    ...(decision === undefined ? {} : { decision: ofDecision(decision) }),
    ...(operation === undefined ? {} : { operation: ofOperation(operation) }),
  }),
  flavorList: same,
  flavorShow: same,
  flavorCreate: same,
  flavorDelete: same,
  imageList: same,
  imageShow: same,
  imageCreate: same,
  imageWrite: same,
  imageDelete: same,
  quotaShow: same,
  // Only for administrators, all of them.
  serviceList: same,
  serviceSet: same,
  hostList: same,
  hostShow: same,
  hostSet: same,
  hostAcceptCapacity: same,
  hostAdd: same,
  hostDelete: same,
  busStatus: same,
  busPurge: same,
  quotaList: same,
  quotaSet: same,
  operationList: ({ operations, ...more }) => ({
    operations: operations.map((operation) => ofOperation(operation)),
    ...more,
  }),
  operationFind: same,
  operationShow: (operation) => ofFullOperation(operation),
  operationCancel: (operation) => ofOperation(operation),
  operationRetry: same,
  eventList: ({ events, ...more }) => ({ events: events.map(ofEvent), ...more }),
  status: (status) => ({ ...status, services: [] }),
  ping: same,
}

const ofInstance = <I extends InstanceSummary>({ host: _, ...instance }: I): Omit<I, 'host'> => instance

function ofFullInstance(full: Instance): Instance {
  const { fault, operation, ...instance } = ofInstance(full)
  const hosts = named(full.host)
  return {
    ...instance,
    ...(fault === undefined ? {} : { fault: ofFault(fault, hosts) }),
    ...(operation === undefined ? {} : { operation: ofOperation(operation, hosts) }),
  }
}

function ofOperation(
  { host, fault, ...operation }: OperationSummary,
  others: readonly string[] = [],
): OperationSummary {
  return { ...operation, ...(fault === undefined ? {} : { fault: ofFault(fault, [...named(host), ...others]) }) }
}

function ofFullOperation({ host, fault, steps, hosts: legs, ...operation }: Operation): Operation {
  const hosts = [host, ...steps.map((step) => step.host), ...legs.map((leg) => leg.host)].flatMap(named)
  return {
    ...operation,
    steps: steps.map(({ host: _, ...step }) => step),
    hosts: [],
    ...(fault === undefined ? {} : { fault: ofFault(fault, hosts) }),
  }
}

/** What to do is left out where the text is another one: it may name what the other text does not. */
const ofFault = ({ host, message, hint, ...fault }: Fault, others: readonly string[]): Fault => {
  const text = textForOwners(fault.code, message)
  const hosts = [...named(host), ...others]
  return {
    ...fault,
    message: ofText(text, hosts),
    ...(hint === undefined || text !== message ? {} : { hint: ofText(hint, hosts) }),
  }
}

/** An event of before events had codes says no more than that something failed. */
const ofEvent = ({ host, message, code = 'unknown', ...event }: Event): Event => {
  const text =
    /\.(error|retry|left)$/.test(event.type) && message !== undefined ? textForOwners(code, message) : message
  return { ...event, ...(text === undefined ? {} : { message: ofText(text, named(host)) }) }
}

/** How many hosts would do and how many each filter refused, without their names and what they have left. */
function ofDecision({ chosen, hosts, summary, counts = countOf(hosts), ...decision }: Decision): Decision {
  return {
    ...decision,
    placed: chosen !== undefined,
    // The summary of a choice says which host was chosen and how heavy that is.
    summary:
      chosen === undefined
        ? ofText(textForOwners('NoValidHost', summary), [])
        : `one of the ${counts.passed} that can, of ${counts.hosts} in all`,
    hosts: [],
    counts,
  }
}

function countOf(hosts: Decision['hosts']): NonNullable<Decision['counts']> {
  const refused = new Map<string, number>()
  for (const { filter } of hosts) if (filter !== undefined) refused.set(filter, (refused.get(filter) ?? 0) + 1)
  return {
    hosts: hosts.length,
    passed: hosts.filter(({ passed }) => passed).length,
    refused: [...refused].map(([filter, count]) => ({ filter, group: `refused by ${filter}`, hosts: count })),
  }
}

const named = (host: string | undefined): string[] => (host === undefined ? [] : [host])

/** Where texts of ours name a host that stands in no field beside them, and what hosts have left. */
const spoken = [
  '\\bcompute\\.[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?= on the bus| to "| may still be (?:done|carried out))',
  '(?<=\\bon )\\S+(?= it failed: | is down: )',
  '(?<=\\bNot undone on )\\S+(?=\\.(?:\\s|$))',
  ' \\(most: [^)]*\\)',
]

/** One pass, so that nothing is replaced in a replacement; a name is another's part if letters, digits or hyphens go on. */
function ofText(text: string, hosts: readonly string[]): string {
  const names = [...new Set(hosts)].map((host) => `(?<![\\w-])${host.replaceAll('.', '\\.')}(?![\\w-])`)
  const hidden = new RegExp([...spoken, ...names].join('|'), 'g')
  return text.replaceAll(hidden, (match) => (match.startsWith(' (') ? '' : 'its host'))
}

const askAdministrator = 'its host has failed; ask an administrator.'

/** A failure as callers hear it who may not see hosts. */
export function failureWithoutHosts(e: unknown): unknown {
  if (isFailure(e, 'HostUnreachable')) return new Failure('HostUnreachable', { target: ofTarget(e.params.target) }, e)
  if (isFailure(e, 'HostDown')) return new Failure('HostDown', { ...e.params, host: 'its host' }, e)
  if (isFailure(e, 'CallTimeout')) {
    const { method, seconds, target } = e.params
    return new Failure('CallTimeout', { method, seconds, target: ofTarget(target) }, e)
  }
  if (isFailure(e, 'DriverFailed')) return new Failure('DriverFailed', { ...e.params, why: askAdministrator }, e)
  if (isFailure(e, 'DatabaseDown')) return new Failure('DatabaseDown', { why: 'no answer' }, e)
  if (e instanceof RemoteError) return new Failure('DriverFailed', { action: 'answer', why: askAdministrator }, e)
  if (isFailure(e, 'BusBlocked')) return new Failure('BusBlocked', { ...e.params, why: ofText(e.params.why, []) }, e)
  return e
}

const shared = new Set<string>(sharedTopics)

/** Where a message was to go: a queue that all daemons of a kind share names no host. */
const ofTarget = (target: string): string => (shared.has(target) ? target : 'its host')
