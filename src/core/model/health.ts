/** The health of a daemon: `up` its heartbeats arrive and its own pings too; `degraded` its own pings do not; `down` neither. */
export type Health = 'up' | 'degraded' | 'down'

/** The health that is shown of a daemon or a host; `state` is Nova's, which knows only up and down. */
type Told = { readonly state: 'up' | 'down'; readonly unresponsive?: boolean | undefined }

/** The one word for how a daemon does. */
export const healthOf = ({ state, unresponsive }: Told): Health =>
  state === 'up' && unresponsive === true ? 'degraded' : state

/** A daemon whose own pings have not arrived for longer is degraded: one ping may be lost, and the next be under way. */
export const unresponsiveAfterMs = (pingSeconds: number): number => pingSeconds * 2_500

/** Milliseconds since the last answer to a daemon's own ping; undefined if it sends itself none. */
export const silentFor = (lastPongAt: number | undefined, now: number): number | undefined =>
  lastPongAt === undefined ? undefined : Math.max(0, Math.round(now - lastPongAt))
