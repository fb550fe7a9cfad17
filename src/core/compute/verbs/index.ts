import type { OperationKind } from '../../model/operation.ts'
import { boot } from './boot.ts'
import { deletion } from './delete.ts'
import { pause } from './pause.ts'
import { reboot, rebootHard } from './reboot.ts'
import { resume } from './resume.ts'
import { start } from './start.ts'
import { stop } from './stop.ts'
import { suspend } from './suspend.ts'
import { unpause } from './unpause.ts'
import type { Verb } from './verb.ts'

/** How each kind of operation is carried out on a host; the kinds and their steps are model/operation.ts's. */
export const verbs: { readonly [K in OperationKind]: Verb<K> } = {
  boot,
  pause,
  unpause,
  suspend,
  resume,
  stop,
  start,
  reboot,
  'reboot-hard': rebootHard,
  delete: deletion,
}
