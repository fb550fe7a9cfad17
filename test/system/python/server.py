"""An oslo.messaging server of the contracts that the tests of the bus use; a line of output for each cast that it hears."""

import builtins
import json
import sys
import time

import nova.exception
import nova.rpc
import oslo_messaging
from oslo_messaging.rpc import dispatcher
from oslo_messaging.rpc import server as rpc_server


def say(line):
    print(json.dumps(line), flush=True)


class Toys(object):
    target = oslo_messaging.Target(version='1.3')

    def add(self, context, a, b):
        return {'sum': a + b}

    def paint(self, context, colour):
        return '%s in Python' % colour

    def slow(self, context, ms):
        time.sleep(ms / 1000)
        return 'done'

    def nothing(self, context):
        return None

    def drop(self, context, what):
        say({'heard': what, 'user': context.user_id, 'project': context.project_id, 'request': context.request_id,
             'roles': context.roles, 'admin': context.is_admin, 'token': context.auth_token})


def fail(self, context, how):
    """Raises what the JSON text names: a class of nova.exception or a built-in one, and its arguments."""
    wish = json.loads(how)
    kind = getattr(nova.exception, wish['class'], None) or getattr(builtins, wish['class'])
    raise kind(*wish.get('args', []), **wish.get('kwargs', {}))


setattr(Toys, 'break', fail)


class Secret(object):
    target = oslo_messaging.Target(namespace='secret', version='2.1')

    def whisper(self, context):
        return 'hush'


class Beating(dispatcher.RPCDispatcher):
    """Beats during every call, as for callers that monitor theirs."""

    def dispatch(self, incoming):
        incoming.client_timeout = incoming.client_timeout or 1
        return super(Beating, self).dispatch(incoming)


url, topic, name = sys.argv[1:]
nova.rpc.CONF([], project='nova', default_config_files=[])
nova.rpc.set_defaults('nova')
transport = nova.rpc.create_transport(nova.rpc.get_transport_url(url))
endpoints = Beating([Toys(), Secret()], nova.rpc.RequestContextSerializer(nova.rpc.JsonPayloadSerializer()))
server = rpc_server.RPCServer(transport, oslo_messaging.Target(topic=topic, server=name), endpoints, 'threading')
server.start()
say({'ready': True})
for line in sys.stdin:
    pass
server.stop()
server.wait()
transport.cleanup()
