import { type Code, Failure, type failures, type Params } from '../base/errors.ts'
import { cutFault, type Fault } from '../contracts/shapes.ts'

/** A failure of ours as rows keep it. */
export function faultOf<C extends Code>(code: C, params: Params<C>, at: number, host?: string): Fault {
  const { message, hint } = new Failure(code, params)
  return cutFault({
    code,
    message,
    ...(hint === undefined ? {} : { hint }),
    at,
    ...(host === undefined ? {} : { host }),
  })
}

/** Failures that lie in what was asked for, not in the host: another host would fail in the same way. */
const everywhereTheSame: ReadonlySet<string> = new Set<Code>([
  'ImageNotFound',
  'ImageNotActive',
  'ImageCorrupt',
  'ImageUnusable',
  'FlavorTooSmall',
  'InvalidRequest',
  'InstanceNotFound',
  'OperationCancelled',
  'OperationLost',
  'DeadlinePassed',
  'Forbidden',
] satisfies Array<keyof typeof failures>)

/** Whether a boot that failed with this may succeed on another host. */
export const isOfTheHost = (fault: Fault): boolean => !everywhereTheSame.has(fault.code)
