import type { RequestSpec } from '../../../src/core/contracts/scheduler.ts'
import type { SchedulerOptions } from '../../../src/core/scheduler/options.ts'
import { type HostState, instancesOf, type Question } from '../../../src/core/scheduler/question.ts'

/** The moment at which all samples are. */
export const now = 1_700_000_000_000

/** A healthy, empty host of 16 vCPU, 4096 MiB and 100 GiB, but for what is said. */
export const host = (but: Partial<HostState> = {}): HostState => ({
  name: 'h1',
  availabilityZone: 'nova',
  limit: { vcpus: 16, memoryMb: 4096, diskGb: 100 },
  used: { vcpus: 0, memoryMb: 0, diskGb: 0 },
  instances: 0,
  failedAt: undefined,
  service: { disabled: false, disabledReason: undefined, seenAt: now },
  ...but,
})

/** A wish for 1 vCPU, 2048 MiB and 10 GiB, but for what is said. */
export const spec = (but: Partial<RequestSpec> = {}): RequestSpec => ({
  projectId: 'p',
  size: { vcpus: 1, memoryMb: 2048, diskGb: 10 },
  hints: {},
  excluded: [],
  needs: '2.0',
  ...but,
})

export const question = (but: Partial<RequestSpec> = {}, hostOf: Readonly<Record<string, string>> = {}): Question => ({
  spec: spec(but),
  now,
  sameHost: instancesOf(but.hints?.same_host),
  differentHost: instancesOf(but.hints?.different_host),
  hostOf: new Map(Object.entries(hostOf)),
})

export const options = (but: Partial<SchedulerOptions> = {}): SchedulerOptions => ({
  filters: [
    'excluded-host',
    'forced-host',
    'compute-up',
    'knows-kind',
    'availability-zone',
    'ram',
    'cores',
    'disk',
    'same-host',
    'different-host',
  ],
  weighers: { 'free-ram': 1, spread: 1, 'failed-recently': 2 },
  cpuAllocationRatio: 1,
  ramAllocationRatio: 1,
  diskAllocationRatio: 1,
  reservedHostMemoryMb: 0,
  reservedHostDiskMb: 0,
  serviceDownTime: 30,
  pingSeconds: 10,
  heartbeatSeconds: 10,
  ...but,
})
