/**
 * The messages of version 1.0 as they were, with the words of then. Frozen: a peer that was built then is played with these.
 */
export const instanceStates = ['BUILD', 'ACTIVE', 'PAUSED', 'SUSPENDED', 'SHUTOFF', 'ERROR'] as const
export const powerStates = ['NOSTATE', 'RUNNING', 'PAUSED', 'SHUTDOWN', 'SUSPENDED', 'CRASHED'] as const
export const kindNames = [
  'boot',
  'pause',
  'unpause',
  'suspend',
  'resume',
  'stop',
  'start',
  'reboot',
  'reboot-hard',
  'delete',
] as const
export const beginnable = [
  'pause',
  'unpause',
  'suspend',
  'resume',
  'stop',
  'start',
  'reboot',
  'reboot-hard',
  'delete',
] as const
export const operationStates = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const
