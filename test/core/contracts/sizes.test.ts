import { expect, test } from 'vitest'
import { conductor } from '../../../src/core/contracts/conductor.ts'

const { flavorCreate, imageCreate } = conductor.methods
const most = 2 ** 31 - 1
const flavor = { name: 'f', vcpus: 1, memoryMb: 1, diskGb: 0 }

test.each(['vcpus', 'memoryMb', 'diskGb'])('%s of a flavor is as much as its column holds, and no more', (field) => {
  expect(flavorCreate.args.safeParse({ ...flavor, [field]: most }).success).toBe(true)
  const refused = flavorCreate.args.safeParse({ ...flavor, [field]: most + 1 })
  expect(refused.error?.issues[0]).toMatchObject({ path: [field], message: 'at most 2147483647' })
})

test.each(['minMemoryMb', 'minDiskGb'])('%s of an image, too', (field) => {
  const image = { name: 'i', files: {} }
  expect(imageCreate.args.safeParse({ ...image, [field]: most }).success).toBe(true)
  expect(imageCreate.args.safeParse({ ...image, [field]: most + 1 }).success).toBe(false)
})
