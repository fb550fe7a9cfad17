import { refuse } from './amqp-error.ts'
import * as basic from './basic-methods.ts'
import type { Channel } from './channel.ts'
import { bindExchange, declareExchange, deleteExchange, unbindExchange } from './exchange-methods.ts'
import { type Args, type Method, type MethodName, methodKey, readMethod } from './methods.ts'
import { beginPublish, route } from './publish.ts'
import { bindQueue, declareQueue, deleteQueue, purgeQueue, unbindQueue } from './queue-methods.ts'

type Handlers = { [N in MethodName]?: (channel: Channel, args: Args<N>) => void }

/** The methods that a client may send on an open channel. */
const handlers: Handlers = {
  'channel.flow': (channel, { active }) => {
    if (!active) refuse('NOT_IMPLEMENTED', 'active=false')
    channel.reply('channel.flow-ok', { active })
  },
  'channel.flow-ok': () => {},
  'access.request': (channel) => channel.reply('access.request-ok', { ticket: 1 }),
  'exchange.declare': declareExchange,
  'exchange.delete': deleteExchange,
  'exchange.bind': bindExchange,
  'exchange.unbind': unbindExchange,
  'queue.declare': declareQueue,
  'queue.bind': bindQueue,
  'queue.unbind': unbindQueue,
  'queue.purge': purgeQueue,
  'queue.delete': deleteQueue,
  'basic.qos': basic.qos,
  'basic.consume': basic.consume,
  'basic.cancel': basic.cancel,
  'basic.cancel-ok': () => {},
  'basic.get': basic.get,
  'basic.ack': basic.ack,
  'basic.nack': basic.nack,
  'basic.reject': basic.reject,
  'basic.recover': (channel, args) => basic.recover(channel, args, true),
  'basic.recover-async': (channel, args) => basic.recover(channel, args, false),
  'confirm.select': (channel, { nowait }) => {
    if (channel.transaction) refuse('PRECONDITION_FAILED', 'cannot switch from tx to confirm mode')
    channel.confirmMode()
    if (!nowait) channel.reply('confirm.select-ok', {})
  },
  'tx.select': (channel) => {
    if (channel.confirms) refuse('PRECONDITION_FAILED', 'cannot switch from confirm to tx mode')
    channel.transaction ??= { publishes: [], settlements: [] }
    channel.reply('tx.select-ok', {})
  },
  'tx.commit': (channel) => {
    channel.commit((publish) => route(channel, publish))
    channel.reply('tx.commit-ok', {})
  },
  'tx.rollback': (channel) => {
    channel.rollback()
    channel.reply('tx.rollback-ok', {})
  },
}

const publishKey = methodKey('basic.publish')

/**
 * Carries out a method frame on an open channel. 505 in the middle of a message, 503 for methods that only a server may
 * send.
 */
export function handleMethod(channel: Channel, payload: Buffer): void {
  if (channel.incoming) {
    refuse('UNEXPECTED_FRAME', 'expected content header or body, got a method frame instead')
  }
  if (payload.readUInt32BE(0) === publishKey) beginPublish(channel, payload)
  else call(channel, readMethod(payload))
}

function call<M extends Method>(channel: Channel, method: M): void {
  const handler = handlers[method.name] as ((channel: Channel, args: M['args']) => void) | undefined
  if (!handler) refuse('COMMAND_INVALID', `a client cannot send ${method.name} here`)
  handler(channel, method.args)
}
