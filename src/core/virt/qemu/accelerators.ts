import type { Log } from '../../base/log.ts'
import { type AcceleratorAsk, type AcceleratorChoice, chooseAccelerator, rememberKvmFails } from './accelerator.ts'
import type { Accelerator } from './arguments.ts'

/** What guests of this host start with, for as long as its daemon lives. */
export type Accelerators = {
  current(): Promise<AcceleratorChoice>
  /** The configuration wants KVM, and nothing else. */
  readonly insistsOnKvm: boolean
  /** KVM cannot run guests here, it turns out: remembers that and goes on with TCG. */
  giveUpKvm(why: string): Promise<void>
}

/** Chooses at the first question; `wanted` as configured. `ask` tells what the choice depends on. */
export function openAccelerators(
  wanted: 'auto' | Accelerator,
  ask: () => Promise<AcceleratorAsk>,
  log: Log,
): Accelerators {
  let choice: Promise<AcceleratorChoice> | undefined
  const choose = async (): Promise<AcceleratorChoice> => {
    if (wanted === 'tcg') return { accelerator: 'tcg', why: 'as configured' }
    const chosen = await chooseAccelerator(await ask())
    log.info(chosen, 'accelerator chosen')
    return chosen
  }
  return {
    insistsOnKvm: wanted === 'kvm',
    current() {
      choice ??= choose().catch((e: unknown) => {
        choice = undefined
        throw e
      })
      return choice
    },
    async giveUpKvm(why) {
      // The first guest that KVM fails tells it all; the others are only started again.
      if ((await this.current()).accelerator !== 'kvm') return
      choice = rememberKvmFails(await ask(), why)
      log.warn(await choice, 'KVM is not used any more')
    },
  }
}
