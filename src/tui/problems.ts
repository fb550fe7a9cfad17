import type { OperationSummary } from '../core/contracts/shapes.ts'
import { findProblems, findUnknownGuests } from '../core/diagnosis/daemons.ts'
import { isOpen } from '../core/model/operation.ts'
import type { Described, Health } from './feed.ts'
import { type CloudModel, grouped } from './model.ts'
import { since } from './paint.ts'

/** How long a failure counts as recent. */
const newsMs = 3_600_000
/** How long an operation may be open before it is listed. */
const longMs = 120_000

/** Problems of the cloud, the worst first, each with what to do about it. */
export function problemsOf(world: CloudModel, health: Health, now: number): Described[] {
  return [...ofServices(world, health, now), ...ofInstances(world), ...ofOperations(world, now)]
}

/** Why the data on the screen may be stale; undefined while all is well. */
export function outage(health: Health): Described | undefined {
  if (!health.bus)
    return {
      text: 'The bus connection is lost',
      hint: 'The dashboard reconnects by itself. Is the broker running? nova doctor',
    }
  if (health.conductor) return { text: health.conductor.text.replace(/\.$/, ''), hint: health.conductor.hint }
  return health.missed
    ? { text: 'The bus connection is back', hint: 'Loading what happened in the meantime.' }
    : undefined
}

function ofServices({ services, daemons, hosts }: CloudModel, { queues }: Health, now: number): Described[] {
  const down = services.filter(({ state }) => state === 'down')
  const reported = (binary: string, many: typeof down): Described => {
    const names = many.map(({ host }) => host)
    const some = names.length > 3 ? `${names.slice(0, 3).join(', ')} and ${names.length - 3} more` : names.join(', ')
    const last = Math.max(...many.map(({ seenAt }) => seenAt))
    const text = `${binary} on ${some} ${many.length > 1 ? 'are' : 'is'} down, last heartbeat ${since(now - last)} ago`
    return { text, hint: `On that machine: nova daemon ${binary}, or its systemd unit; here: nova doctor` }
  }
  const byBinary = grouped(down, ({ binary }) => binary)
  const unheard = queues
    .filter(({ name, consumers }) => consumers === 0 && !byBinary.has(name))
    .map(({ name, messages = 0 }) => ({
      text: `No daemon consumes ${name}${messages > 0 ? `; ${messages} messages are waiting` : ''}`,
      // Conductors consume `agent` and `compute_agent`, too.
      hint: `Start one: nova daemon ${/agent$/.test(name) ? 'conductor' : name}; or the whole cloud on this machine: nova up`,
    }))
  // Callers who may not see hosts learn how many daemons are down, not which.
  const lost = (services.length > 0 ? [] : Object.entries(daemons))
    .filter(([, { down }]) => down > 0)
    .map(([binary, { down }]) => ({
      text: `${down} ${binary} daemon${down > 1 ? 's are' : ' is'} down`,
      hint: 'Tell an administrator of this cloud.',
    }))
  const disabled = hosts.filter(({ status }) => status === 'disabled')
  const off =
    hosts.length > 0 && disabled.length === hosts.length
      ? [{ text: 'All hosts are disabled: no instance can be placed', hint: `nova service enable ${hosts[0]!.name}` }]
      : []
  const unhealthy = findProblems(services).map(({ found, fix }) => ({ text: found, hint: fix }))
  const unknown = findUnknownGuests(hosts).map(({ found, fix }) => ({ text: found, hint: fix }))
  const reports = [...byBinary].map(([binary, many]) => reported(binary, many))
  return [...reports, ...lost, ...unheard, ...unhealthy, ...unknown, ...off]
}

function ofInstances({ instances }: CloudModel): Described[] {
  const broken = [...instances.values()].filter(({ status }) => status === 'ERROR')
  const [first] = broken
  if (!first) return []
  const others = broken.length > 1 ? ` and ${broken.length - 1} more are` : ' is'
  return [{ text: `${first.name}${others} in ERROR`, hint: `Why: nova show ${first.name}; nova explain ${first.name}` }]
}

function ofOperations({ operations, instances }: CloudModel, now: number): Described[] {
  const failed = new Map<string, { row: OperationSummary; at: number; count: number }>()
  let slow = 0
  let slowest: { createdAt: number; kind: string; subject: { name: string }; id: string } | undefined
  for (const row of operations.values()) {
    const at = row.finishedAt ?? row.createdAt
    // What failed on an instance that was deleted since is nobody's problem any more.
    const gone = row.subject.kind === 'instance' && !instances.has(row.subject.id)
    if (row.state === 'failed' && !gone && now - at < newsMs) {
      // Equal failures are one line, of the newest of them.
      const key = `${row.kind} ${(row.fault?.message ?? '')
        .split(' ')
        .filter((word) => word !== row.subject.name)
        .join(' ')}`
      const same = failed.get(key)
      const newest = same && same.at > at ? same : { row, at }
      failed.set(key, { row: newest.row, at: newest.at, count: (same?.count ?? 0) + 1 })
    }
    if (isOpen(row.state) && now - row.createdAt > longMs) {
      slow++
      if (!slowest || row.createdAt < slowest.createdAt) slowest = row
    }
  }
  const late = slowest && {
    text: `${slow} operation${slow > 1 ? 's have' : ' has'} been open for more than ${since(longMs)}: ${slowest.kind} of ${slowest.subject.name} for ${since(now - slowest.createdAt)}`,
    hint: `nova operation show ${slowest.id}`,
  }
  const told = [...failed.values()]
    .sort((a, b) => b.at - a.at)
    .map(({ row, at, count }) => ({
      text: `${row.kind} of ${row.subject.name}${count > 1 ? ` and ${count - 1} more` : ''} failed ${since(now - at)} ago: ${row.fault?.message ?? 'no reason was recorded'}`,
      hint: row.fault?.hint ?? `Details: nova operation show ${row.id}`,
    }))
  return [...(late ? [late] : []), ...told]
}
