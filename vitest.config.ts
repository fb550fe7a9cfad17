import { defineConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** The files that take longest, in this order: a worker that began one of them last would end long after the other. */
const longest = [
  'system/kill',
  'system/migrate',
  'system/walk',
  'system/qemu-story',
  'core/virt/contract',
  'functional/accelerator',
  'functional/bus',
  'system/qemu-kill',
  'core/virt/qemu/lasting',
  'system/dashboard',
  'system/python-interop',
  'functional/least-privilege',
  'core/virt/qemu/rescue',
  'functional/daemons',
  'functional/outage',
  'core/rpc/self-ping',
  'core/rpc/reconnect',
  'core/rpc/blocked',
  'core/virt/qemu/recovery',
  'system/notifications',
  'core/broker/amqplib-suite',
]

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const i = longest.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`))
      return i < 0 ? longest.length : i
    }
    return (await super.sort(files)).sort((a, b) => place(a) - place(b))
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.{ts,tsx}'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores, and every functional suite starts a whole cloud.
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
  },
})
