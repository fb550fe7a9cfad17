import { expect, test } from 'vitest'
import type { AnyVerb } from '../../../src/core/agent/verb.ts'
import { computeService } from '../../../src/core/compute/verbs/index.ts'
import type { ComputeVerb, ComputeVerbs, Tools } from '../../../src/core/compute/verbs/tools.ts'
import { kindNames, kindOf } from '../../../src/core/model/operation.ts'

const { verbs } = computeService({} as Tools)
const step = async () => {}

// @ts-expect-error a step that is missing
const unfinished: ComputeVerb<'boot'> = { steps: { image: step, disk: step }, undo: { image: step, disk: step } }
// @ts-expect-error a step that the model does not know
const surplus: ComputeVerb<'pause'> = { steps: { pause: step, ponder: step } }
const three = { image: step, disk: step, start: step }
// @ts-expect-error the scheduler's step
const foreign: ComputeVerb<'boot'> = { steps: { place: step, ...three }, undo: { image: step, disk: step } }
// @ts-expect-error a step that leaves something and does not say how to take it back
const careless: ComputeVerb<'boot'> = { steps: three, undo: { image: step } }
// @ts-expect-error nothing to take back
const overcautious: ComputeVerb<'pause'> = { steps: { pause: step }, undo: { pause: step } }
// @ts-expect-error a kind that nobody carries out
const forgetful: ComputeVerbs = { pause: { steps: { pause: step } } }

test('every step of the model that hosts take is there, and beside it how it is undone', () => {
  for (const kind of kindNames) {
    const { steps, undo = {} } = verbs[kind] as AnyVerb<Tools>
    const here = kindOf(kind).steps.filter(({ at }) => at !== 'scheduler' && at !== 'conductor')
    expect(Object.keys(steps)).toEqual(here.map(({ name }) => name))
    expect(Object.keys(undo).sort()).toEqual(
      here
        .filter((spec) => spec.undo)
        .map(({ name }) => name)
        .sort(),
    )
  }
})

test.each(['start', 'resume', 'reboot', 'reboot-hard'] as const)(
  '%s fetches what the disk stands on if it is gone',
  async (kind) => {
    const done: string[] = []
    const tools = {
      images: {
        hold: async (instance: string, image: { id: string }) => void done.push(`hold ${image.id} for ${instance}`),
      },
      driver: new Proxy({}, { get: (_, action) => async () => void done.push(String(action)) }),
    } as unknown as Tools
    const [[name, take] = []] = Object.entries((verbs[kind] as AnyVerb<Tools>).steps)
    const action = String(name)
    const instance = { id: 'i1', name: 'web' }
    await take?.(tools, { work: { instance, image: { id: 'tiny' } }, signal: new AbortController().signal } as never)
    expect(done).toEqual(['hold tiny for i1', action])
    // Of an image that was deleted, what is here has to do.
    await take?.(tools, { work: { instance }, signal: new AbortController().signal } as never)
    expect(done.slice(2)).toEqual([action])
  },
)

test('a verb with a step or an undo too few, too many or foreign does not compile', () => {
  expect([unfinished, surplus, foreign, careless, overcautious, forgetful]).toHaveLength(6)
})
