import type { Channel, ConsumeMessage } from 'amqplib'
import { fail, isFailure, reason } from '../base/errors.ts'
import { busUserOf, hostsExchange, isFromHost, mainExchange } from '../model/bus-user.ts'
import { Answers } from './answers.ts'
import type { Served, ServeOptions, Serving } from './bus.ts'
import { type Calls, fits } from './calls.ts'
import { type Consumer, consumeQueue } from './consume.ts'
import { type Dispatch, makeDispatch } from './dispatch.ts'
import { rememberLast } from './duplicates.ts'
import { readDeliveredRecord, wrap } from './envelope.ts'
import { writeFailure } from './failure.ts'
import type { Link } from './link.ts'
import { beatMs, type ReturnPath, readRequest, returnPath, uniqueId } from './request.ts'
import { retireQueue } from './retire.ts'
import { pingMethod, startSelfPing } from './self-ping.ts'
import { fanoutQueue, goesWithConsumers, type QueueKind, serverQueue, sharedQueue } from './topology.ts'

/** How many handled messages a server remembers, to recognise duplicates. */
const remembered = 10_000
const rememberedPings = 100
/** How often a server consumes its shared queue anew: brokers have lost consumers without a word. */
const renewMs = 60_000

type Deps = {
  readonly link: Link
  readonly dispatch: Dispatch
  readonly topic: string
  readonly forHosts: boolean
  readonly onUnread: ServeOptions['onUnread']
}

/** Where a message comes from, as far as the broker vouches for it. */
type Origin = { readonly busUser: string | undefined; readonly exchange: string }

/** The target of an answer, and how to send it. */
type Way = ReturnPath & { readonly answers: Answers }

/**
 * Serves contracts of one topic until it is stopped. `patienceMs`: how long an answer waits for a broker that accepts
 * no messages.
 */
export async function startServer(
  link: Link,
  calls: Calls,
  queues: QueueKind,
  patienceMs: number,
  services: readonly Served[],
  options: ServeOptions,
): Promise<Serving> {
  const { topic, dispatch } = makeDispatch(services)
  const pings = rememberLast(rememberedPings)
  const hear: Dispatch = (request) => {
    if (request.method === pingMethod) pings.add(request.context.requestId)
    return dispatch(request)
  }
  const work = makeWork({
    link,
    dispatch: hear,
    topic,
    forHosts: options.forHosts ?? false,
    onUnread: options.onUnread,
  })
  const slots = makeSlots(options.slots)
  const fanout = fanoutQueue(topic, link.ids.hex())
  const own = serverQueue(topic, options.server, [mainExchange, ...link.reach.ownExchanges])
  const anyOne = sharedQueue(topic, queues, options.forHosts ? [mainExchange, hostsExchange] : [mainExchange])
  const addressed = options.shared === false ? [own] : [anyOne, own]
  // A host's login may not have a fanout queue.
  const plans = link.reach.host === undefined ? [...addressed, fanout] : addressed
  let consumers: Consumer[] = []
  let deliveries = 0
  let current: Channel | undefined

  const kept = await link.keep({
    name: `${topic}.${options.server}`,
    async setup(channel, senders) {
      const answers = new Answers(link, senders, patienceMs)
      channel.on('return', ({ fields }) =>
        link.log.debug({ queue: fields.routingKey }, 'answer not sent: nobody waits for it'),
      )
      await link.reach.declare(channel, queues)
      await channel.prefetch(options.slots)
      const take = (message: ConsumeMessage) => slots.take(() => work(channel, answers, message))
      consumers = []
      const takeOwn = (message: ConsumeMessage) => {
        deliveries++
        take(message)
      }
      for (const plan of plans) consumers.push(await consumeQueue(link, channel, plan, plan === own ? takeOwn : take))
      current = channel
    },
  })
  const { pingMs } = options
  const isShared = options.shared !== false
  const rebind = async () => void (await (current && anyOne.rebind(current)))
  const shared = isShared ? { name: anyOne.name, exchanges: anyOne.exchanges, rebind } : undefined
  let stopRenewing = () => {}
  let stopped = false
  const renewLater = (): void => {
    stopRenewing = link.clock.after(renewMs, () => void renew())
  }
  const renew = async (): Promise<void> => {
    try {
      await consumers[plans.indexOf(anyOne)]?.renew()
    } catch (e) {
      link.log.debug({ queue: anyOne.name, why: reason(e) }, 'shared queue not consumed anew')
    }
    if (!stopped) renewLater()
  }
  if (isShared) renewLater()
  const serving = { target: own.name, deliveries: () => deliveries, full: slots.full, heard: pings.has, shared }
  const ping = pingMs === undefined ? undefined : startSelfPing(link, calls, { ...serving, everyMs: pingMs })
  const stop = async () => {
    ping?.stop()
    stopped = true
    stopRenewing()
    link.hasten()
    for (const consumer of consumers) consumer.letGo()
    const retired = addressed.filter((plan) => plan === own || goesWithConsumers(queues))
    await Promise.race([Promise.all(retired.map((plan) => retireQueue(link, plan))), link.limit()])
    await Promise.race([Promise.all(consumers.map((consumer) => consumer.cancel())), link.limit()])
    await slots.idle()
    await link.drop(kept)
  }
  return {
    stop,
    get lastPongAt() {
      return ping?.lastPongAt
    },
  }
}

type Slots = { take(work: () => Promise<void>): void; full(): boolean; idle(): Promise<void> }

/** Runs at most `count` pieces of work at once: prefetch counts for each queue alone. `work` must not fail. */
function makeSlots(count: number): Slots {
  const waiting: Array<() => Promise<void>> = []
  const idlers: Array<() => void> = []
  let running = 0

  const run = async (work: () => Promise<void>): Promise<void> => {
    running++
    await work()
    running--
    const next = waiting.shift()
    if (next !== undefined) void run(next)
    else if (running === 0) for (const wake of idlers.splice(0)) wake()
  }
  return {
    take(work) {
      if (running < count) void run(work)
      else waiting.push(work)
    },
    full: () => running >= count,
    idle: () => (running === 0 ? Promise.resolve() : new Promise((resolve) => idlers.push(resolve))),
  }
}

/** The handling of each message: parse, carry out, answer, and only then acknowledge. */
function makeWork({
  link,
  dispatch,
  topic,
  forHosts,
  onUnread,
}: Deps): (channel: Channel, answers: Answers, message: ConsumeMessage) => Promise<void> {
  const { ids, log } = link
  const done = rememberLast(remembered)
  const underWay = new Map<string, Promise<void>>()

  const answer = async (to: Way, what: string, result: string, failure: string): Promise<void> => {
    const ids2 = `"_msg_id":${JSON.stringify(to.id)},"_unique_id":"${ids.hex()}"`
    const body = fits(
      wrap(`{"result":${result},"failure":${failure},"ending":true,${ids2}}`),
      `the answer to ${what}`,
      link.reach,
    )
    await to.answers.send(to.queue, body)
  }

  const refuse = async (to: Way | undefined, what: string, e: unknown, requestId: string): Promise<void> => {
    const fields = { topic, method: what, requestId }
    if (isFailure(e)) log.info({ ...fields, code: e.code, text: e.message }, 'request failed')
    else log.error({ ...fields, err: e }, 'request failed: a bug, here or on a third side')
    if (to !== undefined) await answer(to, what, 'null', JSON.stringify(failureText(e, requestId)))
  }

  /** The broker guarantees that `busUser` sent it, if it is there, and that it was published on `exchange`. */
  const admit = ({ busUser, exchange }: Origin): void => {
    const self = link.reach.host === undefined ? undefined : busUserOf(link.reach.host)
    const isOwn = self !== undefined && [undefined, self].includes(busUser) && exchange === self
    if (forHosts || isOwn || !isFromHost(exchange, busUser)) return
    fail('Forbidden', { what: `${busUser ?? 'A host'} may not send requests to ${topic}.` })
  }

  const carryOut = async (raw: Record<string, unknown>, answers: Answers, origin: Origin): Promise<void> => {
    const { busUser } = origin
    const path = returnPath(raw, busUser)
    const to = path && { ...path, answers }
    const stopBeats = to === undefined ? undefined : startBeats(link, to, beatMs(raw))
    let what = 'a message'
    let requestId = 'unknown'
    try {
      const request = readRequest(raw, ids)
      what = request.method
      requestId = request.context.requestId
      admit(origin)
      const context = busUser === undefined ? request.context : { ...request.context, busUser }
      const result = (await dispatch({ ...request, context })) ?? null
      stopBeats?.()
      if (to !== undefined) await answer(to, what, JSON.stringify(result), 'null')
    } catch (e) {
      stopBeats?.()
      await refuse(to, what, e, requestId)
    }
  }

  /** Carries out a message once, however often it is delivered; a duplicate waits for the one that is running. */
  const once = async (raw: Record<string, unknown>, answers: Answers, origin: Origin): Promise<void> => {
    const id = uniqueId(raw)
    if (id === undefined) return carryOut(raw, answers, origin)
    if (done.has(id)) return log.debug({ topic, id }, 'duplicate ignored')
    const other = underWay.get(id)
    if (other !== undefined) return other
    const run = carryOut(raw, answers, origin)
    underWay.set(id, run)
    try {
      await run
    } finally {
      underWay.delete(id)
      done.add(id)
    }
  }

  return async (channel, answers, message) => {
    const origin: Origin = { busUser: message.properties.userId, exchange: message.fields.exchange }
    try {
      await once(readDeliveredRecord(message), answers, origin)
    } catch (e) {
      const why = reason(e)
      log.warn({ topic, why, ...origin }, 'message cannot be read: dropped')
      if (isFromHost(origin.exchange, origin.busUser)) onUnread?.(origin.busUser, why)
    }
    try {
      channel.ack(message)
    } catch {
      // The channel is lost; the message is delivered again, and is then recognised as a duplicate.
    }
  }
}

/** Sends the caller signs of life while the request runs; the returned function stops that. */
function startBeats(link: Link, to: Way, everyMs: number | undefined): () => void {
  if (everyMs === undefined) return () => undefined
  const beat = () => {
    const inner = { result: null, failure: null, ending: false, _msg_id: to.id, _unique_id: link.ids.hex() }
    to.answers.beat(to.queue, wrap(JSON.stringify(inner)))
    cancel = link.clock.after(everyMs, beat)
  }
  let cancel = link.clock.after(everyMs, beat)
  return () => cancel()
}

/** A failure as text, even if it contains what JSON cannot express. */
function failureText(e: unknown, requestId: string): string {
  try {
    return writeFailure(e, requestId)
  } catch (unwritable) {
    return writeFailure(new Error(`${reason(e)} (not serialisable: ${reason(unwritable)})`), requestId)
  }
}
