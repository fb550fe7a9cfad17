import { type Code, isFailure } from './errors.ts'

const awayCodes: readonly Code[] = ['HostUnreachable', 'BusDown', 'BusBlocked', 'CallTimeout', 'DatabaseDown']

/**
 * Whether the other side could not be heard, as against having said no: a daemon or a broker that restarts comes back by
 * itself. What was asked may still have been done.
 */
export const isUnavailable = (e: unknown): boolean => isFailure(e) && awayCodes.includes(e.code)
