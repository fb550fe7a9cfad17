import type { Event, Fault, Published } from '../contracts/shapes.ts'
import { eventKey } from '../model/event.ts'
import type { Placement } from '../store/placement.ts'
import type { SchedulerDeps } from './deps.ts'

type AnnounceDeps = Pick<SchedulerDeps, 'clock' | 'publish'>

/** Tells those who follow the operation where its instance goes. Nothing of it is stored: the host's steps are. */
export function announcePlaced({ clock, publish }: AnnounceDeps, placement: Placement, host: string): void {
  const { instanceId, instanceName, operationId, projectId, requestId, spec } = placement
  send(publish, {
    id: 0,
    at: clock.now(),
    type: 'operation.step',
    instanceId,
    instanceName,
    operationId,
    host,
    requestId,
    projectId,
    operation: { kind: 'boot', state: 'queued', step: 'place', attempt: spec.excluded.length },
  })
}

/** Tells the world of an event that was stored: no host can take it. */
export function announceRefused({ publish }: AnnounceDeps, { spec }: Placement, event: Event, fault: Fault): void {
  const operation = { kind: 'boot', state: 'failed', step: 'place', attempt: spec.excluded.length, fault } as const
  send(publish, { ...event, operation, status: 'ERROR' })
}

const send = (publish: SchedulerDeps['publish'], event: Published): void => publish(eventKey(event), event)
