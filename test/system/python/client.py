"""An oslo.messaging client as Nova's services are: it does what each line of its input says and answers with a line."""

import concurrent.futures
import json
import sys
import threading

import nova.context
import nova.rpc
import oslo_messaging

writing = threading.Lock()


def say(line):
    with writing:
        print(json.dumps(line), flush=True)


def told(raised):
    """What a program that catches the exception can see of it."""
    return {
        'class': type(raised).__name__,
        'module': type(raised).__module__,
        'bases': ['%s.%s' % (base.__module__, base.__name__) for base in type(raised).__mro__],
        'text': str(raised),
        'args': [str(arg) for arg in raised.args],
        'kwargs': getattr(raised, 'kwargs', None),
        'remote': getattr(raised, 'exc_type', None),
    }


def carry_out(wish):
    target = oslo_messaging.Target(
        topic=wish['topic'], server=wish.get('server'), namespace=wish.get('namespace'),
        version=wish.get('version', '1.0'), fanout=wish['action'] == 'fanout')
    client = nova.rpc.get_client(target, call_monitor_timeout=wish.get('monitor')).prepare(timeout=wish.get('timeout'))
    context = nova.context.RequestContext(**wish['context'])
    send = client.call if wish['action'] == 'call' else client.cast
    return send(context, wish['method'], **wish.get('args', {}))


def answer(wish):
    try:
        say({'id': wish['id'], 'result': carry_out(wish)})
    except Exception as raised:
        say({'id': wish['id'], 'raised': told(raised)})


nova.rpc.CONF([], project='nova', default_config_files=[])
nova.rpc.set_defaults('nova')
nova.rpc.TRANSPORT = nova.rpc.create_transport(nova.rpc.get_transport_url(sys.argv[1]))
say({'ready': True})
with concurrent.futures.ThreadPoolExecutor(8) as threads:
    for line in sys.stdin:
        threads.submit(answer, json.loads(line))
nova.rpc.TRANSPORT.cleanup()
