import type { Look } from '../cli/view.ts'
import { sharedTopics } from '../core/model/shared-topics.ts'
import { type FeedDeps, type Health, loadSnapshot } from './feed.ts'
import { emptyWorld, takeSnapshot } from './model.ts'
import { overviewLines } from './overview.ts'
import { painter, unpainted } from './paint.ts'

const widthOfText = 100

/** The overview as text, as of now; fails if the cloud does not answer. */
export async function printOverview(
  deps: FeedDeps,
  { width = widthOfText, color }: Pick<Look, 'width' | 'color'>,
): Promise<string> {
  const world = emptyWorld()
  const [snapshot, queues] = await Promise.all([loadSnapshot(deps), deps.bus.queues(sharedTopics)])
  takeSnapshot(world, snapshot)
  const now = deps.clock.now()
  const health: Health = { bus: true, conductor: undefined, queues, lastPongAt: now, complete: true, missed: false }
  const room = { width, height: Number.POSITIVE_INFINITY, now, paint: color ? painter(true) : unpainted }
  return `${overviewLines(world, health, room)
    .map((line) => line.trimEnd())
    .join('\n')}\n`
}
