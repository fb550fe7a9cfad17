import { refuse } from './amqp-error.ts'
import { acknowledge, type Channel, discard, requeue } from './channel.ts'
import { Consumer } from './consumer.ts'
import { integerOf } from './field-table.ts'
import { type Args, methodKey } from './methods.ts'
import type { Queue } from './queue.ts'
import { replyToName } from './vhost.ts'
import { Writer } from './wire.ts'

export function qos(channel: Channel, args: Args<'basic.qos'>): void {
  if (args.prefetchSize !== 0) refuse('NOT_IMPLEMENTED', `prefetch_size!=0 (${args.prefetchSize})`)
  if (args.global) channel.channelPrefetch = args.prefetchCount
  else channel.prefetch = args.prefetchCount
  channel.reply('basic.qos-ok', {})
}

/** Reads `x-priority`; 406 if it is not an integer. */
function consumerPriority(args: Args<'basic.consume'>): number {
  const field = args.arguments.get('x-priority')
  if (field === undefined) return 0
  return (
    integerOf(field) ?? refuse('PRECONDITION_FAILED', 'invalid arg x-priority in consumer arguments: not an integer')
  )
}

function checkExclusive(channel: Channel, queue: Queue, exclusive: boolean): void {
  if (queue.exclusivelyConsumed || (exclusive && queue.consumers > 0)) {
    refuse('ACCESS_REFUSED', `queue '${queue.name}' in vhost '${channel.vhost.name}' in exclusive use`)
  }
}

function checkCount({ peer: { share }, consumers }: Channel): void {
  if (share === undefined || consumers.size < share.limits.consumersPerChannel) return
  const { consumersPerChannel } = share.limits
  refuse(
    'PRECONDITION_FAILED',
    `user '${share.user}' may not have more than ${consumersPerChannel} consumers on a channel`,
  )
}

export function consume(channel: Channel, args: Args<'basic.consume'>): void {
  if (args.queue === replyToName) consumeReplies(channel, args)
  else consumeQueue(channel, args)
}

function consumeQueue(channel: Channel, args: Args<'basic.consume'>): void {
  channel.check('read', 'queue', channel.queueName(args.queue))
  const queue = channel.queue(args.queue)
  const tag = newTag(channel, args.consumerTag)
  const priority = consumerPriority(args)
  checkExclusive(channel, queue, args.exclusive)
  checkCount(channel)
  const { noAck, exclusive } = args
  const consumer = new Consumer(channel, queue, { tag, noAck, exclusive, priority, prefetch: channel.prefetch })
  channel.consumers.set(tag, consumer)
  if (!args.nowait) channel.reply('basic.consume-ok', { consumerTag: tag })
  queue.subscribe(consumer)
}

function newTag(channel: Channel, wanted: string): string {
  if (channel.consumers.has(wanted) || channel.replyTag === wanted) {
    refuse('NOT_ALLOWED', `attempt to reuse consumer tag '${wanted}'`)
  }
  return wanted === '' ? `amq.ctag-${Buffer.from(channel.peer.deps.ids.hex(), 'hex').toString('base64url')}` : wanted
}

/**
 * Direct reply-to: replies go from the answering channel to this one without a queue in between.
 * @see https://www.rabbitmq.com/docs/direct-reply-to
 */
function consumeReplies(channel: Channel, args: Args<'basic.consume'>): void {
  if (!args.noAck) refuse('PRECONDITION_FAILED', 'reply consumer cannot acknowledge')
  if (channel.replyTo !== undefined) refuse('PRECONDITION_FAILED', 'reply consumer already set')
  const tag = newTag(channel, args.consumerTag)
  channel.openReplyTo(tag)
  if (!args.nowait) channel.reply('basic.consume-ok', { consumerTag: tag })
}

export function cancel(channel: Channel, args: Args<'basic.cancel'>): void {
  const consumer = channel.consumers.get(args.consumerTag)
  if (consumer) {
    channel.consumers.delete(args.consumerTag)
    consumer.queue.unsubscribe(consumer)
  } else if (channel.replyTag === args.consumerTag) channel.closeReplyTo()
  if (!args.nowait) channel.reply('basic.cancel-ok', { consumerTag: args.consumerTag })
}

export function get(channel: Channel, args: Args<'basic.get'>): void {
  channel.check('read', 'queue', channel.queueName(args.queue))
  const queue = channel.queue(args.queue)
  checkExclusive(channel, queue, false)
  const entry = queue.get(args.noAck)
  if (!entry) {
    channel.reply('basic.get-empty', { clusterId: '' })
    return
  }
  const fields = new Writer()
  fields.long(methodKey('basic.get-ok'))
  fields.longlong(channel.track({ queue, entry, consumer: undefined }, args.noAck))
  fields.octet(entry.redelivered ? 1 : 0)
  const rest = new Writer()
  rest.long(queue.depth)
  channel.outbox.content(channel.number, fields.done(), entry.message, rest.done())
}

export function ack(channel: Channel, args: Args<'basic.ack'>): void {
  channel.settle(args.deliveryTag, args.multiple, acknowledge)
}

export function nack(channel: Channel, args: Args<'basic.nack'>): void {
  channel.settle(args.deliveryTag, args.multiple, args.requeue ? requeue : discard)
}

export function reject(channel: Channel, args: Args<'basic.reject'>): void {
  channel.settle(args.deliveryTag, false, args.requeue ? requeue : discard)
}

export function recover(channel: Channel, args: { requeue: boolean }, answer: boolean): void {
  if (!args.requeue) refuse('NOT_IMPLEMENTED', 'requeue=false')
  channel.recover()
  if (answer) channel.reply('basic.recover-ok', {})
}
