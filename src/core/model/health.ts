/** How a daemon does: `up` it is heard and hears itself; `degraded` it is heard, and deaf; `down` it is not heard. */
export type Health = 'up' | 'degraded' | 'down'

/** What is told of a daemon or a host: `state` is what those know it by who have never heard of deafness. */
type Told = { readonly state: 'up' | 'down'; readonly unresponsive?: boolean | undefined }

/** The one word for how a daemon does. */
export const healthOf = ({ state, unresponsive }: Told): Health =>
  state === 'up' && unresponsive === true ? 'degraded' : state

/** A daemon that has not heard itself for longer is deaf: one ping may be lost, and the next one be under way. */
export const unresponsiveAfterMs = (pingSeconds: number): number => pingSeconds * 2_500

/** Milliseconds for which a daemon that heard itself last at `heardAt` has not; undefined where it does not ask itself. */
export const silentFor = (lastPongAt: number | undefined, now: number): number | undefined =>
  lastPongAt === undefined ? undefined : Math.max(0, Math.round(now - lastPongAt))
