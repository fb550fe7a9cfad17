"""A listener to notifications as Ceilometer and others are: a line of output for each that it hears, versioned or not."""

import json
import sys
import threading

import nova.notifications.objects.base  # noqa: F401
import nova.rpc
import oslo_messaging
from nova.notifications.objects import exception, flavor, instance, service  # noqa: F401
from nova.objects import base as objects

CLASSES = {kind.__name__: kind for kind in objects.NovaObjectRegistry.notification_classes}
writing = threading.Lock()


def say(line):
    with writing:
        print(json.dumps(line), flush=True)


def read(primitive, problems):
    """A versioned payload as plain values; what Nova's own class of that name would not read is a problem."""
    name = primitive['nova_object.name']
    kind, data = CLASSES[name], primitive['nova_object.data']
    if primitive['nova_object.version'] != kind.VERSION:
        problems.append('%s has version %s, not %s' % (name, primitive['nova_object.version'], kind.VERSION))
    if set(data) != set(kind.fields):
        problems.append('%s: %s' % (name, sorted(set(data) ^ set(kind.fields))))
    return {key: field(kind, name, key, value, problems) for key, value in data.items() if key in kind.fields}


def field(kind, name, key, value, problems):
    if isinstance(value, dict) and 'nova_object.name' in value:
        return read(value, problems)
    try:
        law = kind.fields[key]
        law.coerce(None, key, law.from_primitive(None, key, value))
    except Exception as raised:
        problems.append('%s.%s: %s' % (name, key, raised))
    return value


class Endpoint(object):
    def __init__(self, topic):
        self.topic = topic

    def tell(self, priority, context, publisher, event_type, payload, metadata):
        problems = []
        kind = payload.get('nova_object.name')
        data = read(payload, problems) if kind else payload
        about = data.get('instance_id') or data.get('name') or data['host' if kind == 'ServiceStatusPayload' else 'uuid']
        say({'heard': '%s %s %s' % (self.topic, event_type, about), 'priority': priority, 'publisher': publisher,
             'kind': kind, 'payload': data, 'problems': problems, 'context': context, 'metadata': metadata})
        return oslo_messaging.NotificationResult.HANDLED

    def info(self, *args):
        return self.tell('info', *args)

    def error(self, *args):
        return self.tell('error', *args)


nova.rpc.CONF([], project='nova', default_config_files=[])
nova.rpc.set_defaults('nova')
transport = oslo_messaging.get_notification_transport(nova.rpc.CONF, url=sys.argv[1])
listeners = [
    oslo_messaging.get_notification_listener(
        transport, [oslo_messaging.Target(topic=topic, exchange='nova')], [Endpoint(topic)], executor='threading')
    for topic in ('notifications', 'versioned_notifications')]
for listener in listeners:
    listener.start()
say({'ready': True})
for line in sys.stdin:
    pass
for listener in listeners:
    listener.stop()
    listener.wait()
transport.cleanup()
