import { refuse } from './amqp-error.ts'
import type { Channel } from './channel.ts'
import { type Exchange, exchangeTypes } from './exchange.ts'
import { textOf } from './field-table.ts'
import type { Args } from './methods.ts'
import { differentArgument } from './queue-arguments.ts'

type Declare = Args<'exchange.declare'>

function refuseDefault(name: string): void {
  if (name === '') refuse('ACCESS_REFUSED', 'operation not permitted on the default exchange')
}

/** The text of the first difference between a declaration and the existing exchange; undefined if they agree. */
function difference(exchange: Exchange, args: Declare, where: string): string | undefined {
  const { declared } = exchange
  const pairs: Array<[string, string | boolean, string | boolean]> = [
    ['type', args.type, declared.type],
    ['durable', args.durable, declared.durable],
    ['auto_delete', args.autoDelete, declared.autoDelete],
    ['internal', args.internal, declared.internal],
  ]
  for (const [name, received, current] of pairs) {
    if (received !== current) {
      return `inequivalent arg '${name}' for ${where}: received '${received}' but current is '${current}'`
    }
  }
  return differentArgument(args.arguments, declared.table, where, ['alternate-exchange'])
}

function assertExchange(channel: Channel, args: Declare): void {
  const { vhost } = channel
  const where = `exchange '${args.exchange}' in vhost '${vhost.name}'`
  channel.check('configure', 'exchange', args.exchange)
  const type = exchangeTypes.find((each) => each === args.type)
  if (!type) refuse('COMMAND_INVALID', `unknown exchange type '${args.type}'`)
  const there = vhost.exchanges.get(args.exchange)
  if (there) {
    const differs = difference(there, args, where)
    if (differs !== undefined) refuse('PRECONDITION_FAILED', differs)
    return
  }
  if (args.exchange.startsWith('amq.')) {
    refuse('ACCESS_REFUSED', `exchange name '${args.exchange}' contains reserved prefix 'amq.*'`)
  }
  const alternate = args.arguments.get('alternate-exchange')
  if (alternate !== undefined && textOf(alternate) === undefined) {
    refuse('PRECONDITION_FAILED', `invalid arg 'alternate-exchange' for ${where}: not a string`)
  }
  const alternateName = textOf(alternate)
  if (alternateName !== undefined) {
    channel.check('read', 'exchange', args.exchange)
    channel.check('write', 'exchange', alternateName)
  }
  vhost.addExchange({
    name: args.exchange,
    type,
    durable: args.durable,
    autoDelete: args.autoDelete,
    internal: args.internal,
    table: args.arguments,
    alternate: alternateName,
    share: channel.peer.share,
  })
}

export function declareExchange(channel: Channel, args: Declare): void {
  refuseDefault(args.exchange)
  if (args.passive) {
    channel.peer.access?.checkKnown('exchange', args.exchange, channel.vhost.name)
    channel.exchange(args.exchange)
  } else assertExchange(channel, args)
  if (!args.nowait) channel.reply('exchange.declare-ok', {})
}

export function deleteExchange(channel: Channel, args: Args<'exchange.delete'>): void {
  refuseDefault(args.exchange)
  if (args.exchange.startsWith('amq.')) {
    refuse('ACCESS_REFUSED', `exchange name '${args.exchange}' contains reserved prefix 'amq.*'`)
  }
  channel.check('configure', 'exchange', args.exchange)
  const exchange = channel.vhost.exchanges.get(args.exchange)
  if (exchange) {
    if (args.ifUnused && exchange.bindings.size > 0) {
      refuse('PRECONDITION_FAILED', `exchange '${args.exchange}' in vhost '${channel.vhost.name}' in use`)
    }
    channel.vhost.deleteExchange(exchange)
  }
  if (!args.nowait) channel.reply('exchange.delete-ok', {})
}

function checkEnds(channel: Channel, { source, destination }: { source: string; destination: string }): void {
  channel.check('write', 'exchange', destination)
  channel.check('read', 'exchange', source)
}

export function bindExchange(channel: Channel, args: Args<'exchange.bind'>): void {
  refuseDefault(args.source)
  refuseDefault(args.destination)
  checkEnds(channel, args)
  const destination = channel.exchange(args.destination)
  const source = channel.exchange(args.source)
  channel.checkTopics('read', source, [args.routingKey])
  const { share } = channel.peer
  channel.vhost.bind({ source, destination, routingKey: args.routingKey, args: args.arguments, share })
  if (!args.nowait) channel.reply('exchange.bind-ok', {})
}

export function unbindExchange(channel: Channel, args: Args<'exchange.unbind'>): void {
  refuseDefault(args.source)
  refuseDefault(args.destination)
  checkEnds(channel, args)
  const { exchanges } = channel.vhost
  const [source, destination] = [exchanges.get(args.source), exchanges.get(args.destination)]
  if (source && destination) {
    channel.checkTopics('read', source, [args.routingKey])
    channel.vhost.unbind({ source, destination, routingKey: args.routingKey, args: args.arguments })
  }
  if (!args.nowait) channel.reply('exchange.unbind-ok', {})
}
