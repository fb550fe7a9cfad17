import type { Exchange } from './exchange.ts'
import { array, emptyTable, type Field, integerOf, long, longstr, type Table, textOf } from './field-table.ts'
import { encodeRoute, type Message } from './message.ts'
import { readProperties, writeHeader } from './properties.ts'
import type { DeathReason, Queue } from './queue.ts'

/** What dead-lettering needs of a virtual host. */
type Publisher = {
  exchanges: ReadonlyMap<string, Exchange>
  publish(
    message: Message,
    exchange: Exchange,
    headers: Table | undefined,
    routingKeys: readonly string[],
    allow: (queue: Queue) => boolean,
  ): unknown
}

function deathsOf(headers: Table): Table[] {
  const field = headers.get('x-death')
  if (field?.tag !== 'A') return []
  return field.value.flatMap((each) => (each.tag === 'F' ? [each.value] : []))
}

/** The `x-death` of a message after one more death: one record per queue and reason, the latest first, with a count. */
function afterDeath(headers: Table, queue: Queue, message: Message, reason: DeathReason, nowMs: number): Table[] {
  const deaths = deathsOf(headers)
  const same = (death: Table) => textOf(death.get('queue')) === queue.name && textOf(death.get('reason')) === reason
  const before = deaths.find(same)
  const others = deaths.filter((death) => death !== before)
  if (before) return [new Map([...before, ['count', long((integerOf(before.get('count')) ?? 0) + 1)]]), ...others]
  const death = new Map<string, Field>([
    ['count', long(1)],
    ['exchange', longstr(message.exchange)],
    ['queue', longstr(queue.name)],
    ['reason', longstr(reason)],
    ['routing-keys', array([longstr(message.routingKey)])],
    ['time', { tag: 'T', value: BigInt(Math.floor(nowMs / 1000)) }],
  ])
  return [death, ...others]
}

/**
 * Publishes a message that died in a queue to that queue's dead-letter exchange, with its history in `x-death`; without
 * such an exchange nothing happens. A message that came back to the same queue without ever being rejected is dropped.
 * @see https://www.rabbitmq.com/docs/dlx
 */
export function deadLetter(vhost: Publisher, queue: Queue, message: Message, reason: DeathReason, nowMs: number): void {
  const { deadLetterExchange, deadLetterRoutingKey } = queue.declared.args
  const exchange = deadLetterExchange === undefined ? undefined : vhost.exchanges.get(deadLetterExchange)
  if (!exchange) return
  const properties = readProperties(message.header)
  const deaths = afterDeath(properties.headers ?? emptyTable, queue, message, reason, nowMs)
  if (properties.expiration !== undefined && !deaths[0]!.has('original-expiration')) {
    deaths[0] = new Map([...deaths[0]!, ['original-expiration', longstr(properties.expiration)]])
  }
  const headers = new Map<string, Field>(properties.headers)
  headers.set('x-death', array(deaths.map((death) => ({ tag: 'F', value: death }))))
  if (!headers.has('x-first-death-reason')) {
    headers.set('x-first-death-reason', longstr(reason))
    headers.set('x-first-death-queue', longstr(queue.name))
    headers.set('x-first-death-exchange', longstr(message.exchange))
  }
  const { expiration: _dropped, ...kept } = properties
  const routingKey = deadLetterRoutingKey ?? message.routingKey
  const again: Message = {
    exchange: exchange.name,
    routingKey,
    route: encodeRoute(exchange.name, routingKey),
    header: writeHeader(message.body.length, { ...kept, headers }),
    body: message.body,
    priority: message.priority,
    ttlMs: undefined,
    share: message.share ?? queue.declared.share,
    holders: 0,
  }
  vhost.publish(again, exchange, headers, [routingKey], (to) => !goesRound(deaths, to))
}

/** Whether a message with this history has been in the queue before and has not been rejected since. */
function goesRound(deaths: readonly Table[], to: Queue): boolean {
  const before = deaths.findIndex((death) => textOf(death.get('queue')) === to.name)
  return before >= 0 && deaths.slice(0, before + 1).every((death) => textOf(death.get('reason')) !== 'rejected')
}
