import { kindNames, kindOf } from '../model/operation.ts'

/** How an event of ours goes out: what listeners hear of, and as what. */
export type Row = {
  /** Whose data it carries. */
  readonly about: 'instance' | 'service' | 'flavor'
  /** Nova's event type in the versioned format, and the class of the payload. */
  readonly versioned: string
  readonly payload:
    | 'InstanceActionPayload'
    | 'InstanceCreatePayload'
    | 'InstanceUpdatePayload'
    | 'ServiceStatusPayload'
    | 'FlavorPayload'
  /** Nova's event type in the unversioned format, where it has one. */
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
 * Which events become notifications, by our type. What begins and ends is called alike here and in Nova; what is not in
 * this table (steps, retries, hosts that come and go) is told on our own exchange alone.
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
