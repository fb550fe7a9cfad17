import { expect, test } from 'vitest'
import { verbs } from '../../../src/core/compute/verbs/index.ts'
import type { Verb } from '../../../src/core/compute/verbs/verb.ts'
import type { OperationKind } from '../../../src/core/model/operation.ts'
import { kindNames, kindOf } from '../../../src/core/model/operation.ts'

const step = async () => {}

// @ts-expect-error a step that is missing
const unfinished: Verb<'boot'> = { steps: { image: step, disk: step } }
// @ts-expect-error a step that the model does not know
const surplus: Verb<'pause'> = { steps: { pause: step, ponder: step } }
// @ts-expect-error the scheduler's step
const foreign: Verb<'boot'> = { steps: { place: step, image: step, disk: step, start: step } }
// @ts-expect-error a kind that nobody carries out
const forgetful: { [K in OperationKind]: Verb<K> } = { boot: verbs.boot }

test('every step of the model is taken by the host, save placing', () => {
  for (const kind of kindNames) {
    const { steps } = verbs[kind] as Verb
    expect(Object.keys(steps)).toEqual(kindOf(kind).steps.filter((name) => name !== 'place'))
  }
})

test('a verb with a step too few, too many or foreign does not compile', () => {
  expect([unfinished, surplus, foreign, forgetful]).toHaveLength(4)
})
