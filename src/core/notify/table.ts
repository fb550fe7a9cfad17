import { kindNames, kindOf } from '../model/operation.ts'

/** How an event is published as a notification: to which listeners, under which name. */
export type Row = {
  /** The subject whose data it carries. */
  readonly about: 'instance' | 'service' | 'flavor'
  /** Nova's event type in the versioned format, and the class of the payload. */
  readonly versioned: string
  readonly payload:
    | 'InstanceActionPayload'
    | 'InstanceCreatePayload'
    | 'InstanceUpdatePayload'
    | 'ServiceStatusPayload'
    | 'FlavorPayload'
  /** Nova's event type in the unversioned format, if it has one. */
  readonly unversioned?: string
}

const phases = ['start', 'end', 'error'] as const

const ofAction = (action: string, phase: string): [string, Row] => [
  `instance.${action}.${phase}`,
  {
    about: 'instance',
    versioned: `instance.${action}.${phase}`,
    payload: action === 'create' ? 'InstanceCreatePayload' : 'InstanceActionPayload',
    unversioned: `compute.instance.${action}.${phase}`,
  },
]

const update: Row = {
  about: 'instance',
  versioned: 'instance.update',
  payload: 'InstanceUpdatePayload',
  unversioned: 'compute.instance.update',
}

/**
 * The events that become notifications, by our type. Starts and ends have the same names here and in Nova; events that
 * are not in this table (steps, retries, hosts that come and go) are published on our own exchange only.
 */
export const table: ReadonlyMap<string, Row> = new Map<string, Row>([
  ...kindNames.flatMap((kind) => phases.map((phase) => ofAction(kindOf(kind).event, phase))),
  ['instance.update', update],
  ['instance.rename', update],
  ['service.enable', { about: 'service', versioned: 'service.update', payload: 'ServiceStatusPayload' }],
  ['service.disable', { about: 'service', versioned: 'service.update', payload: 'ServiceStatusPayload' }],
  ['flavor.create', { about: 'flavor', versioned: 'flavor.create', payload: 'FlavorPayload' }],
  ['flavor.delete', { about: 'flavor', versioned: 'flavor.delete', payload: 'FlavorPayload' }],
])
