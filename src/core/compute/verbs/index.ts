import type { AgentService } from '../../agent/engine.ts'
import type { PowerState } from '../../model/instance.ts'
import { boot } from './boot.ts'
import { deletion } from './delete.ts'
import { deleteImage } from './delete-image.ts'
import { migrate } from './migrate.ts'
import { pause } from './pause.ts'
import { reboot, rebootHard } from './reboot.ts'
import { resume } from './resume.ts'
import { start } from './start.ts'
import { stop } from './stop.ts'
import { suspend } from './suspend.ts'
import type { ComputeVerbs, Tools } from './tools.ts'
import { unpause } from './unpause.ts'

/** How each kind of operation is carried out on a compute host; the kinds and their steps are model/operation.ts's. */
const verbs: ComputeVerbs = {
  boot,
  pause,
  unpause,
  suspend,
  resume,
  stop,
  start,
  reboot,
  'reboot-hard': rebootHard,
  migrate,
  delete: deletion,
  'delete-image': deleteImage,
}

/** What a compute host brings to the engine. */
export const computeService = (tools: Tools): AgentService<Tools> => ({
  tools,
  verbs: verbs as AgentService<Tools>['verbs'],
  hooks: {
    async observe({ instance }): Promise<PowerState | undefined> {
      if (!instance) return undefined
      try {
        return await tools.driver.power(instance.id)
      } catch (e) {
        tools.log.error({ instance: instance.id, err: e }, 'the power state cannot be seen')
        return 'CRASHED'
      }
    },
  },
})
