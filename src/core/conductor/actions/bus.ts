import { fail, isFailure } from '../../base/errors.ts'
import { nearest } from '../../base/near.ts'
import type { BusQueue } from '../../contracts/broker.ts'
import type { conductor } from '../../contracts/conductor.ts'
import type { Context } from '../../model/context.ts'
import { sharedTopics } from '../../model/shared-topics.ts'
import type { Args, Result } from '../../rpc/contract.ts'
import type { ConductorDeps } from '../deps.ts'

type Deps = Pick<ConductorDeps, 'broker'>
type Status = Result<typeof conductor, 'busStatus'>

/** The broker and its queues, each with whose it is. */
export async function busStatus({ broker }: Deps, ctx: Context): Promise<Status> {
  const listed = await broker.queueList(ctx, {})
  return {
    broker: listed.broker,
    queues: listed.queues.map((queue) => {
      const advice = adviceFor(queue)
      return { ...queue, owner: ownerOf(queue.name), ...(advice === undefined ? {} : { advice }) }
    }),
  }
}

/** The queues of one process: they go when it goes. */
const [answers, events] = [/^reply_/, /^nova_events_/]

/** Throws away what waits in a queue. `QueueNotFound`, `InvalidRequest`. */
export async function busPurge(
  { broker }: Deps,
  ctx: Context,
  { queue }: Args<typeof conductor, 'busPurge'>,
): Promise<Result<typeof conductor, 'busPurge'>> {
  if (answers.test(queue))
    fail('InvalidRequest', {
      what: `${queue} holds answers that a process waits for; without them its calls end in timeouts.`,
      hint: 'Such a queue goes with its process.',
    })
  if (events.test(queue))
    fail('InvalidRequest', { what: `${queue} is one reader's own: it is bounded, and goes when its reader does.` })
  try {
    return await broker.queuePurge(ctx, { queue })
  } catch (e) {
    if (!isFailure(e, 'QueueNotFound') && !isFailure(e, 'ManagementFailed')) throw e
    const { queues } = await broker.queueList(ctx, {})
    // Where there is no management, only known queues are listed; one of them is there, but cannot be purged.
    if (queues.some(({ name }) => name === queue)) throw e
    return fail('QueueNotFound', {
      id: queue,
      near: nearest(
        queue,
        queues.map(({ name }) => name),
      ),
    })
  }
}

/** Whose a queue is, by its name as the topology gives it. */
function ownerOf(name: string): string {
  if (/^reply_[0-9a-f]+$/.test(name)) return 'answers to one process'
  if (/^reply_host\./.test(name)) return 'answers to one host'
  if (/^nova_events_[0-9a-f]+$/.test(name)) return 'one reader of events'
  const [, crowd] = /^(.+)_fanout_[0-9a-f]+$/.exec(name) ?? []
  if (crowd !== undefined) return `one ${crowd}, for messages to all of them`
  if (/^(versioned_)?notifications\./.test(name)) return 'readers of notifications'
  const [, topic, host] = /^([a-z]+)\.(.+)$/.exec(name) ?? []
  if (topic !== undefined && services.has(topic)) return `${topic} on ${host}`
  return services.has(name) ? `any ${name}` : 'not of this cloud'
}

const services = new Set<string>([...sharedTopics, 'compute', 'broker'])

/** Messages wait in a queue that nobody consumes: its service, or its reader, is gone. */
function adviceFor({ name, messages, consumers }: BusQueue): string | undefined {
  // A process that is just ending has a queue without a consumer for a moment.
  if (messages === 0 || consumers > 0 || answers.test(name) || events.test(name)) return undefined
  const [topic = ''] = name.split('.')
  if (services.has(topic)) {
    const daemon = topic === 'agent' ? 'conductor' : topic
    return `Nobody takes these messages: start the service (nova daemon ${daemon}), or throw them away: nova bus purge ${name}`
  }
  return `Nobody takes these messages: start their reader, or throw them away: nova bus purge ${name}`
}
