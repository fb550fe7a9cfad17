/**
 * The routing key of an event on the bus, `<type>.<instance id or ->.<operation id or ->`: whoever waits for one instance or
 * one operation binds to the end of it.
 */
export const eventKey = (event: {
  type: string
  instanceId?: string | undefined
  operationId?: string | undefined
}): string => `${event.type}.${event.instanceId ?? '-'}.${event.operationId ?? '-'}`
