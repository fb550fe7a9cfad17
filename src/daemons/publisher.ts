import { hostName } from '../core/config/host-name.ts'
import type { Published } from '../core/contracts/shapes.ts'
import type { Db } from '../core/db/open.ts'
import type { Format } from '../core/notify/messages.ts'
import { openNotifier } from '../core/notify/notifier.ts'
import type { Bus } from '../core/rpc/bus.ts'
import { instancesEver } from '../core/store/history.ts'
import type { Runtime } from './runtime.ts'

const formatsOf = {
  none: [],
  unversioned: ['unversioned'],
  versioned: ['versioned'],
  both: ['unversioned', 'versioned'],
} as const satisfies Record<string, readonly Format[]>

/** Publishes what happens: events for our own readers, notifications for those of oslo.messaging. */
export function openPublisher(
  { config, clock, log, onStop }: Runtime,
  binary: string,
  bus: Bus,
  db: Db,
): (key: string, event: Published) => void {
  const notifier = openNotifier({
    clock,
    log,
    publisher: { binary, host: hostName(config) },
    formats: formatsOf[config.notifications.format],
    instances: (ids) => instancesEver(db, ids),
    notify: (notification) => bus.notify(notification),
  })
  onStop(() => notifier.close())
  return (key, event) => {
    void bus.publish(key, event)
    notifier.receive(event)
  }
}
