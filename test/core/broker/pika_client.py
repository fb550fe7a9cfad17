"""Pika, as Debian has it, against a broker: carries out the deed that is named and prints what came of it as JSON."""

import json
import sys

import pika
import pika.exceptions

PARAMETERS = pika.URLParameters(sys.argv[1])


def confirmed(channel, queue):
    """Publishing with confirms: in a queue, in none, and in none although it must be."""
    channel.queue_declare(queue)
    channel.confirm_delivery()
    story = []
    for key, mandatory in ((queue, True), ('nowhere', False), ('nowhere', True)):
        try:
            channel.basic_publish('', key, b'body', pika.BasicProperties(delivery_mode=2), mandatory=mandatory)
            story.append('confirmed')
        except pika.exceptions.UnroutableError as raised:
            story.append('returned %d %s' % (len(raised.messages), raised.messages[0].method.reply_text))
    channel.queue_declare(queue + '.full', arguments={'x-max-length': 0, 'x-overflow': 'reject-publish'})
    try:
        channel.basic_publish('', queue + '.full', b'body')
    except pika.exceptions.NackError:
        story.append('refused')
    return story


def consumed(channel, queue):
    """Two consumers with a prefetch of two; the third message waits for an acknowledgement."""
    channel.queue_declare(queue)
    for i in range(6):
        channel.basic_publish('', queue, b'%d' % i)
    channel.basic_qos(prefetch_count=2)
    taken = []

    def take(channel, method, properties, body):
        taken.append((method.delivery_tag, body.decode()))
        if len(taken) == 2:
            channel.connection.call_later(0.3, lambda: (waiting.append(len(taken)), channel.basic_ack(2, multiple=True)))
        elif len(taken) > 2:
            channel.basic_ack(method.delivery_tag)
        if len(taken) == 6:
            channel.stop_consuming()

    waiting = []
    channel.basic_consume(queue, take)
    channel.start_consuming()
    return {'waited at': waiting, 'taken': [body for _, body in taken],
            'left': channel.queue_declare(queue, passive=True).method.message_count}


def generated(channel, queue):
    """The consume generator, given up half-way: what it has not given out comes back."""
    channel.queue_declare(queue)
    for i in range(5):
        channel.basic_publish('', queue, b'%d' % i)
    seen = []
    for method, _, body in channel.consume(queue, inactivity_timeout=5):
        seen.append(body.decode())
        channel.basic_ack(method.delivery_tag)
        if len(seen) == 2:
            break
    channel.cancel()
    rest = [channel.basic_get(queue, auto_ack=True) for _ in range(4)]
    return {'seen': seen,
            'rest': [(method.redelivered, body.decode()) for method, _, body in rest if method],
            'empty': rest[-1][0] is None}


def got(channel, queue):
    """basic.get: acknowledged, rejected and put back."""
    channel.queue_declare(queue)
    properties = pika.BasicProperties(
        content_type='text/plain', headers={'a': 1, 'b': [True, None, 'ü'], 'c': {'d': 2 ** 40}},
        correlation_id='7', priority=3, message_id='m', timestamp=1700000000, type='t', user_id='guest', app_id='app')
    channel.basic_publish('', queue, 'grüße'.encode(), properties)
    method, first, body = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=True)
    again, second, _ = channel.basic_get(queue)
    channel.basic_reject(again.delivery_tag, requeue=False)
    return {'body': body.decode(), 'headers': first.headers, 'same': vars(first) == vars(second),
            'redelivered': [method.redelivered, again.redelivered], 'count': method.message_count,
            'sent': vars(properties) == vars(first), 'empty': channel.basic_get(queue)[0] is None}


def lifecycle(channel, queue):
    """Exchanges and queues: declared, bound, found, unbound, purged, deleted; and what is refused."""
    exchange = queue + '.x'
    channel.confirm_delivery()
    channel.exchange_declare(exchange, 'topic', durable=True)
    channel.exchange_declare(exchange + '.2', 'fanout', auto_delete=True)
    channel.exchange_bind(exchange + '.2', exchange, 'a.#')
    channel.queue_declare(queue, durable=True)
    channel.queue_bind(queue, exchange, 'a.*')
    channel.queue_bind(queue, exchange + '.2')
    for key in ('a', 'a.b', 'b.c'):
        channel.basic_publish(exchange, key, key.encode())
    counts = [channel.queue_declare(queue, passive=True).method.message_count]
    channel.queue_unbind(queue, exchange, 'a.*')
    channel.queue_unbind(queue, exchange + '.2')
    channel.basic_publish(exchange, 'a.b', b'lost')
    counts.append(channel.queue_purge(queue).method.message_count)
    channel.queue_delete(queue)
    channel.exchange_delete(exchange)
    refused = []
    for deed in (lambda c: c.queue_declare(queue, passive=True),
                 lambda c: c.exchange_declare(exchange + '.2', passive=True),
                 lambda c: c.exchange_declare('amq.direct', 'fanout', durable=True),
                 lambda c: c.queue_declare('amq.mine')):
        other = channel.connection.channel()
        try:
            deed(other)
        except pika.exceptions.ChannelClosedByBroker as raised:
            refused.append([raised.reply_code, raised.reply_text.split(' - ')[0]])
    return {'counts': counts, 'refused': refused}


def exclusive(channel, queue):
    """A queue of one connection: locked for others while that lives, gone with it."""
    channel.queue_declare(queue, exclusive=True)
    with pika.BlockingConnection(PARAMETERS) as other:
        try:
            other.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as raised:
            code = raised.reply_code
        channel.connection.close()
        try:
            other.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as raised:
            return [code, raised.reply_code]


def aged(channel, queue):
    """Times to live of a queue, of a message and of what is dead-lettered."""
    channel.queue_declare(queue + '.dead')
    channel.queue_declare(queue, arguments={
        'x-message-ttl': 60000, 'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': queue + '.dead'})
    channel.basic_publish('', queue, b'short', pika.BasicProperties(expiration='50'))
    channel.basic_publish('', queue, b'long')
    for method, properties, body in channel.consume(queue + '.dead', auto_ack=True, inactivity_timeout=10):
        death = properties.headers['x-death'][0]
        return {'dead': body.decode(), 'reason': death['reason'], 'queue': death['queue'] == queue,
                'left': channel.queue_declare(queue, passive=True).method.message_count}


def answered(channel, queue):
    """Direct reply-to: a question and its answer on one connection's channels."""
    channel.queue_declare(queue)
    answers = []

    def answer(channel, method, properties, body):
        channel.basic_publish('', properties.reply_to, b'answer to ' + body,
                              pika.BasicProperties(correlation_id=properties.correlation_id))
        channel.basic_ack(method.delivery_tag)

    def take(channel, method, properties, body):
        answers.append([properties.correlation_id, body.decode()])

    server = channel.connection.channel()
    server.basic_consume(queue, answer)
    channel.basic_consume('amq.rabbitmq.reply-to', take, auto_ack=True)
    channel.basic_publish('', queue, b'question', pika.BasicProperties(reply_to='amq.rabbitmq.reply-to', correlation_id='7'))
    while not answers:
        channel.connection.process_data_events(time_limit=5)
    return answers


def transacted(channel, queue):
    """A transaction that is rolled back, and one that is committed."""
    channel.queue_declare(queue)
    channel.tx_select()
    channel.basic_publish('', queue, b'lost')
    channel.tx_rollback()
    channel.basic_publish('', queue, b'kept')
    channel.tx_commit()
    return [body.decode() for method, _, body in (channel.basic_get(queue), channel.basic_get(queue)) if method]


def large(channel, queue):
    """A body of many frames, there and back."""
    channel.queue_declare(queue)
    body = bytes(range(256)) * 12000 + b'end'
    channel.basic_publish('', queue, body)
    return channel.basic_get(queue, auto_ack=True)[2] == body


DEEDS = {deed.__name__: deed for deed in (
    confirmed, consumed, generated, got, lifecycle, exclusive, aged, answered, transacted, large)}

connection = pika.BlockingConnection(PARAMETERS)
print(json.dumps(DEEDS[sys.argv[2]](connection.channel(), sys.argv[3])))
if connection.is_open:
    connection.close()
