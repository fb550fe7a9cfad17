import type { Clock } from '../base/clock.ts'

type Sides = {
  /** Whether anything came in since the last call. */
  takeReceived: () => boolean
  /** Whether anything went out since the last call. */
  takeWritten: () => boolean
  beat: () => void
  /** The peer was silent for two intervals. */
  onSilence: () => void
}

/**
 * The two halves of heartbeats: sends one every half interval in which nothing else was sent, and reports a peer that
 * was silent for two intervals. Counts ticks of its own timer instead of reading the time, so that a process that was
 * stopped for a while does not blame its peers. The returned function ends it.
 * @see https://www.rabbitmq.com/docs/heartbeats
 */
export function startHeartbeat(clock: Clock, intervalSeconds: number, sides: Sides): () => void {
  let silentHalves = 0
  let stop = () => {}
  const turn = () => {
    silentHalves = sides.takeReceived() ? 0 : silentHalves + 1
    if (silentHalves >= 4) return sides.onSilence()
    if (!sides.takeWritten()) sides.beat()
    stop = clock.after(intervalSeconds * 500, turn)
  }
  stop = clock.after(intervalSeconds * 500, turn)
  return () => stop()
}
