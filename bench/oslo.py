"""oslo.messaging's side of bench/rpc.ts: it does what each line of its input says, and answers with a line.

    oslo.py <server|client> <url>

Green threads at both ends, as Nova's services have them: with the threading executor it did three quarters of it.
"""

import eventlet
eventlet.monkey_patch()

import json  # noqa: E402
import os  # noqa: E402
import queue  # noqa: E402
import sys  # noqa: E402
import threading  # noqa: E402
import time  # noqa: E402
import uuid  # noqa: E402

import eventlet.tpool  # noqa: E402

import oslo_messaging  # noqa: E402
from oslo_config import cfg  # noqa: E402

# About a kilobyte of JSON: the same as in rpc-peer.ts.
PAYLOAD = {'id': str(uuid.uuid4()), 'name': 'x' * 200, 'tags': ['tag-%d-%s' % (i, 'y' * 28) for i in range(20)], 'n': 42}
CONTEXT = {'request_id': 'req-bench', 'user_id': 'bench', 'project_id': 'bench', 'roles': ['admin'], 'is_admin': True}

ROLE, URL = sys.argv[1:]

# The defaults (64 requests at a time, as the others have), but for a connection to each of the threads that send at once.
CONF = cfg.CONF
CONF([], project='bench', default_config_files=[])
oslo_messaging.set_transport_defaults('bench_oslo')
TRANSPORT = oslo_messaging.get_rpc_transport(CONF, URL + '?rpc_conn_pool_size=300')
TARGET = oslo_messaging.Target(topic='bench_oslo', version='1.0')


def cpu():
    return round(time.process_time() * 1e6)


class Bench(object):
    target = oslo_messaging.Target(version='1.0')

    def __init__(self):
        self.heard = 0
        self.more = threading.Condition()

    def echo(self, context, **args):
        return args

    def hear(self, context, **args):
        with self.more:
            self.heard += 1
            self.more.notify()

    def hear_all(self, count):
        with self.more:
            self.more.wait_for(lambda: self.heard >= count)


class Flight(object):
    """Threads that live on from one measurement to the next: making them is not what is measured."""

    def __init__(self, client):
        self.client = client
        self.wishes = queue.Queue()
        self.done = queue.Queue()
        self.threads = 0

    def work(self):
        while True:
            method, end = self.wishes.get()
            took = []
            send = self.client.call if method == 'echo' else self.client.cast
            begun = time.perf_counter()
            while begun < end:
                send(CONTEXT, method, **PAYLOAD)
                now = time.perf_counter()
                took.append(now - begun)
                begun = now
            self.done.put(took)

    def measure(self, method, flight, ms):
        while self.threads < flight:
            threading.Thread(target=self.work, daemon=True).start()
            self.threads += 1
        used = cpu()
        end = time.perf_counter() + ms / 1000
        for _ in range(flight):
            self.wishes.put((method, end))
        took = sorted(each for _ in range(flight) for each in self.done.get())
        spent = cpu() - used

        def at(share):
            return round(took[int(len(took) * share)] * 1e6) if took else 0
        return {'count': len(took), 'p50': at(0.5), 'p99': at(0.99), 'cpu': spent}


def carry_out(wish, bench, flight):
    if wish['do'] == 'heard':
        bench.hear_all(wish['count'])
    if wish['do'] in ('heard', 'usage'):
        return {'count': bench.heard, 'p50': 0, 'p99': 0, 'cpu': cpu()}
    return flight.measure('echo' if wish['do'] == 'calls' else 'hear', wish['flight'], wish['ms'])


def say(line):
    print(json.dumps(line), flush=True)


endpoint = Bench()
flight = None
if ROLE == 'server':
    server = oslo_messaging.get_rpc_server(
        TRANSPORT, oslo_messaging.Target(topic='bench_oslo', server='bench'), [endpoint], executor='eventlet')
    server.start()
else:
    flight = Flight(oslo_messaging.get_rpc_client(TRANSPORT, TARGET))
say({'ready': URL})
# In a thread of its own: a wait for input would hold up the green ones.
for line in iter(lambda: eventlet.tpool.execute(sys.stdin.readline), ''):
    say(carry_out(json.loads(line), endpoint, flight))
# Its threads would wait for one another.
os._exit(0)
