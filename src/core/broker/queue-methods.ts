import { refuse } from './amqp-error.ts'
import type { Channel } from './channel.ts'
import type { Args } from './methods.ts'
import type { Queue } from './queue.ts'
import { differentArgument, readQueueArguments } from './queue-arguments.ts'
import { replyToName } from './vhost.ts'

type Declare = Args<'queue.declare'>

function checkSame(queue: Queue, args: Declare, where: string): void {
  const { declared } = queue
  const pairs: Array<[string, boolean, boolean]> = [
    ['durable', args.durable, declared.durable],
    ['auto_delete', args.autoDelete, declared.autoDelete],
    ['exclusive', args.exclusive, declared.owner !== undefined],
  ]
  for (const [name, received, current] of pairs) {
    if (received === current) continue
    refuse(
      name === 'exclusive' ? 'RESOURCE_LOCKED' : 'PRECONDITION_FAILED',
      `inequivalent arg '${name}' for ${where}: received '${received}' but current is '${current}'`,
    )
  }
  const differs = differentArgument(args.arguments, declared.table, where)
  if (differs !== undefined) refuse('PRECONDITION_FAILED', differs)
}

function assertQueue(channel: Channel, args: Declare): Queue {
  const { vhost, peer } = channel
  const name = args.queue === '' ? `amq.gen-${Buffer.from(peer.ids.hex(), 'hex').toString('base64url')}` : args.queue
  const where = `queue '${name}' in vhost '${vhost.name}'`
  // Even for a queue that is there: names of the server's making are for passive declarations only.
  if (args.queue.startsWith('amq.')) {
    refuse('ACCESS_REFUSED', `queue name '${name}' contains reserved prefix 'amq.*'`)
  }
  channel.check('configure', 'queue', name)
  const there = vhost.queues.get(name)
  if (there) {
    channel.checkOwner(there)
    checkSame(there, args, where)
    return there
  }
  const read = readQueueArguments(args.arguments, where)
  const { deadLetterExchange } = read
  if (deadLetterExchange !== undefined) {
    // Otherwise a queue would be a way around what its owner may publish.
    channel.check('read', 'queue', name)
    channel.check('write', 'exchange', deadLetterExchange)
  }
  return vhost.addQueue({
    name,
    durable: args.durable,
    autoDelete: args.autoDelete,
    owner: args.exclusive ? peer : undefined,
    table: args.arguments,
    args: read,
  })
}

/** Direct reply-to: a client may ask whether somebody still waits for a reply by declaring its queue. */
function declareReplyTo(channel: Channel, name: string): void {
  if (name !== replyToName && !channel.vhost.replyTakers.has(name)) {
    refuse('NOT_FOUND', `no queue '${name}' in vhost '${channel.vhost.name}'`)
  }
  channel.reply('queue.declare-ok', { queue: name, messageCount: 0, consumerCount: 1 })
}

export function declareQueue(channel: Channel, args: Declare): void {
  if (args.queue.startsWith(replyToName)) {
    declareReplyTo(channel, args.queue)
    return
  }
  const queue = args.passive ? channel.queue(args.queue) : assertQueue(channel, args)
  queue.touch()
  channel.lastQueue = queue.name
  if (args.nowait) return
  channel.reply('queue.declare-ok', {
    queue: queue.name,
    messageCount: queue.depth,
    consumerCount: queue.consumers,
  })
}

/** Empty queue and routing key stand for the queue declared last and its name. */
const keyFor = (args: { queue: string; routingKey: string }, queue: Queue): string =>
  args.queue === '' && args.routingKey === '' ? queue.name : args.routingKey

export function bindQueue(channel: Channel, args: Args<'queue.bind'>): void {
  if (args.exchange === '') refuse('ACCESS_REFUSED', 'operation not permitted on the default exchange')
  channel.check('write', 'queue', channel.queueName(args.queue))
  channel.check('read', 'exchange', args.exchange)
  const queue = channel.queue(args.queue)
  const source = channel.exchange(args.exchange)
  channel.checkTopics('read', source, [keyFor(args, queue)])
  channel.vhost.bind({ source, destination: queue, routingKey: keyFor(args, queue), args: args.arguments })
  if (!args.nowait) channel.reply('queue.bind-ok', {})
}

export function unbindQueue(channel: Channel, args: Args<'queue.unbind'>): void {
  if (args.exchange === '') refuse('ACCESS_REFUSED', 'operation not permitted on the default exchange')
  const name = channel.queueName(args.queue)
  channel.check('write', 'queue', name)
  channel.check('read', 'exchange', args.exchange)
  const queue = channel.vhost.queues.get(name)
  const source = channel.vhost.exchanges.get(args.exchange)
  if (queue) channel.checkOwner(queue)
  if (queue && source) channel.checkTopics('read', source, [keyFor(args, queue)])
  if (queue && source) {
    channel.vhost.unbind({ source, destination: queue, routingKey: keyFor(args, queue), args: args.arguments })
  }
  channel.reply('queue.unbind-ok', {})
}

export function purgeQueue(channel: Channel, args: Args<'queue.purge'>): void {
  channel.check('read', 'queue', channel.queueName(args.queue))
  const messageCount = channel.queue(args.queue).purge()
  if (!args.nowait) channel.reply('queue.purge-ok', { messageCount })
}

export function deleteQueue(channel: Channel, args: Args<'queue.delete'>): void {
  const name = channel.queueName(args.queue)
  channel.check('configure', 'queue', name)
  const queue = channel.vhost.queues.get(name)
  let messageCount = 0
  if (queue) {
    channel.checkOwner(queue)
    const where = `queue '${name}' in vhost '${channel.vhost.name}'`
    if (args.ifUnused && queue.consumers > 0) refuse('PRECONDITION_FAILED', `${where} in use`)
    if (args.ifEmpty && queue.depth > 0) refuse('PRECONDITION_FAILED', `${where} is not empty`)
    messageCount = channel.vhost.deleteQueue(queue)
  }
  if (!args.nowait) channel.reply('queue.delete-ok', { messageCount })
}
