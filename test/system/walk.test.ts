import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/base/clock.ts'
import { mapConcurrent } from '../../src/core/base/concurrency.ts'
import { isFailure } from '../../src/core/base/errors.ts'
import { systemIds } from '../../src/core/base/ids.ts'
import { type Beginnable, beginnable } from '../../src/core/contracts/kinds.ts'
import type { InstanceSummary, Operation } from '../../src/core/contracts/shapes.ts'
import { kindNames, kindOf, type OperationKind, stagesOf } from '../../src/core/model/operation.ts'
import { allocationsOf, capacityDrift } from '../../src/core/store/allocations.ts'
import { addImage } from '../../src/core/store/images.ts'
import { admin, type Backend, backends } from '../kit/cloud.ts'
import { endOf, persist } from '../kit/patience.ts'
import { type Fate, leaseMs, WalkCloud, type WalkHost } from '../kit/walk.ts'

/**
 * Walks the table of operation kinds: every kind, every step, and everything that may happen at that moment. Each operation
 * ends as it was asked for, or undone; I1 to I4 and I7 hold. A new kind is in it without a line of its own.
 */

/** What happens when an executor has come to a step: to that case's hosts alone. */
const local = ['fails', 'host killed', 'message lost', 'message twice', 'host silent', 'cancelled', 'deleted'] as const
/** And what happens to all that is under way at that moment. */
const global = ['conductor killed', 'scheduler killed', 'broker killed'] as const
type Fault = (typeof local)[number] | (typeof global)[number]

/** Every step of each kind, and whose it is. */
const moments = kindNames.flatMap((kind) =>
  stagesOf(kind).flatMap(({ legs, final }) =>
    legs.flatMap(({ at, steps }) => {
      const by = at === 'scheduler' || at === 'conductor' ? at : 'host'
      return steps.map(({ name }) => ({ kind, step: name, by, final }))
    }),
  ),
)
type Moment = (typeof moments)[number]
type Case = Moment & { fault: Fault }

/** A scheduler holds nothing of an operation, and a conductor takes its steps in one transaction: other faults say it. */
const happensTo = (fault: Fault, { by }: Moment): boolean =>
  fault === 'host killed'
    ? by === 'host'
    : fault === 'scheduler killed'
      ? by === 'scheduler'
      : fault !== 'fails' || by !== 'conductor'

/** What makes an instance ready for a kind: the verbs that lead to a state from which it may begin. */
const leading: Partial<Record<string, Beginnable[]>> = {
  ACTIVE: [],
  PAUSED: ['pause'],
  SUSPENDED: ['suspend'],
  SHUTOFF: ['stop'],
}

/** The longest that one case may take, in ms; most take less than one second. */
const caseMs = 45_000

class Walk {
  readonly cloud: WalkCloud
  readonly #what: Case
  readonly hosts: WalkHost[] = []
  readonly #wrong: string[] = []
  #instance: string | undefined
  #operation: string | undefined
  #before: InstanceSummary | undefined
  #happened = false
  #stage = 'prepare'

  constructor(cloud: WalkCloud, what: Case) {
    this.cloud = cloud
    this.#what = what
  }

  /** Plays the case to its end, or for so long; answers with what was wrong. */
  async play(): Promise<string[]> {
    const enough = new AbortController()
    const late = systemClock.sleep(caseMs, enough.signal).then(() => {
      if (!enough.signal.aborted) this.#say(`it hangs while it is to ${this.#stage}`)
      return this.#wrong
    })
    const wrong = await Promise.race([this.#play(), late])
    enough.abort()
    return wrong
  }

  async #play(): Promise<string[]> {
    const id = systemIds.hex().slice(0, 8)
    for (const n of [1, 2]) this.hosts.push(await this.cloud.host(`${id}-${n}`, `zone-${id}`))
    await this.#prepare(id)
    const { kind, step, by, fault } = this.#what
    const isMine = (moment: { kind: string; step: string }) => moment.kind === kind && moment.step === step
    if (by === 'host')
      for (const host of this.hosts) host.onStep = (now) => (isMine(now) ? this.#happen(host) : undefined)
    else this.cloud.control.set(`walk-${id}`, async (now) => (isMine(now) ? this.#happenAway(now.subject) : undefined))
    // An announcement that is lost, or comes twice, is that of the leg: told before there is a step.
    if (by === 'host' && (fault === 'message lost' || fault === 'message twice'))
      for (const host of this.hosts) host.announcements = fault === 'message lost' ? 'lost' : 'twice'
    this.#stage = 'begin'
    await this.#begin(id)
    this.#stage = 'end'
    const ended = await this.#ended()
    this.cloud.control.delete(`walk-${id}`)
    for (const host of this.hosts) {
      host.onStep = () => undefined
      host.failing = false
    }
    this.#stage = 'be checked'
    if (ended) await this.#check(ended)
    this.#stage = 'leave nothing'
    await this.#leave()
    return this.#wrong
  }

  #say(wrong: string): void {
    const { kind, step, fault } = this.#what
    this.#wrong.push(`${kind} at ${step}, ${fault}: ${wrong}`)
  }

  async #prepare(id: string): Promise<void> {
    const { kind } = this.#what
    const { from, first, subject } = kindOf(kind)
    if (first || subject === 'image') return
    const request = { ...this.#request(id), idempotencyKey: systemIds.uuid() }
    const { begun } = await persist(() => this.cloud.api.boot(admin(), request))
    this.#instance = begun[0]!.instance.id
    await this.#end(begun[0]!.operation)
    const verbs = leading[from.find((state) => leading[state]) ?? 'ACTIVE'] ?? []
    for (const verb of verbs) {
      const asked = { instance: this.#instance, kind: verb, idempotencyKey: systemIds.uuid() }
      await this.#end((await persist(() => this.cloud.api.begin(admin(), asked))).operation)
    }
    this.#before = await this.#seen()
  }

  #request = (id: string) => ({
    name: `walk-${id}`,
    image: 'walk',
    flavor: 'm1.nano',
    availabilityZone: `zone-${id}`,
  })

  async #end(operation: string): Promise<Operation> {
    const ended = await endOf(this.cloud.api, operation)
    if (ended.state !== 'succeeded') throw new Error(`the case cannot be prepared: ${ended.fault?.message}`)
    return ended
  }

  async #seen(): Promise<InstanceSummary | undefined> {
    try {
      return await persist(async () => {
        try {
          return await this.cloud.api.instanceShow(admin(), { instance: this.#instance as string })
        } catch (e) {
          if (isFailure(e, 'InstanceNotFound')) return undefined
          throw e
        }
      })
    } catch {
      return undefined
    }
  }

  async #begin(id: string): Promise<void> {
    const { kind } = this.#what
    const key = systemIds.uuid()
    if (kindOf(kind).subject === 'image') {
      const image = await newImage(this.cloud, id)
      this.#operation = await persist(() => deleteImage(this.cloud, image))
    } else if (kindOf(kind).first) {
      const asked = () => this.cloud.api.boot(admin(), { ...this.#request(id), idempotencyKey: key })
      const { begun } = await persist(asked)
      this.#instance = begun[0]!.instance.id
      this.#operation = begun[0]!.operation
    } else {
      const asked = { instance: this.#instance as string, kind: kind as Beginnable, idempotencyKey: key }
      this.#operation = (await persist(() => this.cloud.api.begin(admin(), asked))).operation
    }
  }

  /** The one moment of the case. */
  async #happen(host: WalkHost): Promise<void> {
    if (this.#happened) return
    this.#happened = true
    switch (this.#what.fault) {
      case 'fails':
        host.failing = true
        return
      case 'host killed':
        void host.kill().then(() => host.start())
        return
      case 'host silent':
        return host.silence(leaseMs * 1.6)
      default:
        await this.#happenAnywhere()
    }
  }

  /** The same, to a step that a scheduler or a conductor is about to take. */
  async #happenAway(subject: string): Promise<Fate> {
    if (this.#happened) return undefined
    this.#happened = true
    // The answer to the boot may still be on its way.
    this.#instance ??= subject
    const { fault, by } = this.#what
    switch (fault) {
      case 'fails':
        // No host can take it any more.
        await setDisabled(this.cloud, this.hosts, true)
        return undefined
      case 'host silent':
        await systemClock.sleep(leaseMs * 1.6)
        return undefined
      case 'message lost':
        return 'lost'
      case 'message twice':
        return 'twice'
      default:
        await this.#happenAnywhere()
        return fault === `${by} killed` ? 'killed' : undefined
    }
  }

  async #happenAnywhere(): Promise<void> {
    switch (this.#what.fault) {
      case 'conductor killed':
        return this.cloud.restart('conductor')
      case 'scheduler killed':
        return this.cloud.restart('scheduler')
      case 'broker killed':
        return this.cloud.restartBroker()
      case 'cancelled':
        return this.#cancel()
      case 'deleted':
        if (this.#instance && this.#what.kind !== 'delete')
          await this.cloud.api.begin(admin(), { instance: this.#instance, kind: 'delete' })
    }
  }

  async #cancel(): Promise<void> {
    const { operations } = await this.cloud.api.operationList(admin(), {
      open: true,
      ...(this.#instance === undefined ? {} : { instance: this.#instance }),
    })
    const mine = operations.find(({ kind }) => kind === this.#what.kind)
    if (!mine) return
    try {
      await this.cloud.api.operationCancel(admin(), { operation: mine.id })
    } catch (e) {
      // From a final step there is no way back, and it says so.
      if (!isFailure(e, 'InvalidRequest') || !this.#what.final) throw e
    }
  }

  /** I2: it ends, and soon. */
  async #ended(): Promise<Operation | undefined> {
    const enough = new AbortController()
    const late = systemClock.sleep(30_000, enough.signal).then(() => undefined)
    const operation = await Promise.race([endOf(this.cloud.api, this.#operation as string), late])
    enough.abort()
    if (!operation) {
      const open = await this.cloud.api.operationShow(admin(), { operation: this.#operation as string })
      this.#say(`I2: it does not end: ${JSON.stringify({ ...open, steps: open.steps.map((s) => s.name) })}`)
    }
    return operation
  }

  async #check(operation: Operation): Promise<void> {
    const { kind, by, fault, final } = this.#what
    const { to, retryElsewhere, onFailure, subject } = kindOf(kind)
    if (!this.#happened && !(by === 'host' && fault.startsWith('message'))) this.#say('the step was never reached')
    const allowed = {
      fails: by === 'host' && (final || retryElsewhere) ? ['succeeded'] : ['failed'],
      cancelled: final ? ['succeeded'] : ['cancelled', 'succeeded'],
      deleted: ['cancelled', 'succeeded'],
    }[fault as string] ?? ['succeeded']
    if (!allowed.includes(operation.state))
      this.#say(`it has ${operation.state} (${operation.fault?.message}), not ${allowed.join(' or ')}`)
    if (subject !== 'instance') return
    await this.#copies()
    if (fault === 'deleted' || to === undefined) return
    const after = await this.#seen()
    const wanted =
      operation.state === 'succeeded'
        ? to === 'before'
          ? this.#before?.status
          : to
        : onFailure === 'ERROR'
          ? 'ERROR'
          : this.#before?.status
    if (after?.status !== wanted) this.#say(`it is ${after?.status}, not ${wanted}`)
    if (after?.task !== undefined) this.#say(`I1: it shows the task ${after.task}, and no operation is open`)
    if (operation.state !== 'succeeded' && onFailure !== 'ERROR' && after?.host !== this.#before?.host)
      this.#say(`it was undone, and is on ${after?.host} instead of ${this.#before?.host}`)
    const powers = await Promise.all(this.hosts.map(({ hypervisor }) => hypervisor.power(this.#instance as string)))
    const here = this.hosts.findIndex(({ name }) => name === after?.host)
    if (here >= 0 && after && powers[here] !== after.power)
      this.#say(`its guest is ${powers[here]}, and the cloud says ${after.power}`)
  }

  /** I4: never two running copies. */
  async #copies(): Promise<void> {
    const copies = this.hosts.reduce((sum, { hypervisor }) => sum + hypervisor.copies(this.#instance as string), 0)
    if (copies > 1) this.#say(`I4: ${copies} copies run`)
  }

  /** I7: delete works from every state, and leaves nothing on any host. */
  async #leave(): Promise<void> {
    const id = this.#instance
    if (id !== undefined) {
      try {
        const deletion = await persist(() =>
          this.cloud.api.begin(admin(), { instance: id, kind: 'delete' }).catch((e) => {
            if (isFailure(e, 'InstanceNotFound')) return undefined
            throw e
          }),
        )
        if (deletion) await endOf(this.cloud.api, deletion.operation)
      } catch (e) {
        this.#say(`I7: it cannot be deleted: ${e}`)
      }
      await this.#nothingLeft(id)
    }
    for (const host of this.hosts) await host.stop()
  }

  async #nothingLeft(id: string): Promise<void> {
    // What a host that was silent still has, it removes when it hears that it is not its own.
    const until = systemClock.now() + 5_000
    for (;;) {
      const left = await Promise.all(this.hosts.map(({ hypervisor }) => hypervisor.power(id)))
      const held = await allocationsOf(this.cloud.db, id)
      if (left.every((power) => power === 'NOSTATE') && held.length === 0) return
      if (systemClock.now() > until) return this.#say(`I7: left behind: ${left} ${JSON.stringify(held)}`)
      await systemClock.sleep(100)
    }
  }
}

const setDisabled = async ({ db }: WalkCloud, hosts: readonly WalkHost[], disabled: boolean): Promise<void> => {
  await db
    .updateTable('services')
    .set({ disabled: disabled ? 1 : 0 })
    .where(
      'host',
      'in',
      hosts.map(({ name }) => name),
    )
    .execute()
}

let images = 0
/** An image of a kernel alone, whose file hosts read from nowhere: fake guests need none of it. */
async function newImage(cloud: WalkCloud, id: string, name = `walk-${id}`): Promise<string> {
  const sha256 = (++images).toString(16).padStart(64, '0')
  await addImage(cloud.db, {
    id: systemIds.uuid(),
    name,
    projectId: 'default',
    status: 'active',
    files: {},
    parts: { kernel: { sizeBytes: 1, sha256, complete: true } },
    minMemoryMb: 0,
    minDiskGb: 0,
    sizeBytes: 1,
    metadata: {},
    visibility: 'public',
    createdAt: systemClock.now(),
  })
  return name
}

/** The operation that deletes the image. If its answer was lost with the broker, it is found among the operations. */
async function deleteImage({ api }: WalkCloud, image: string): Promise<string> {
  try {
    return (await api.imageDelete(admin(), { image })).operation as string
  } catch (e) {
    if (!isFailure(e, 'ImageNotFound')) throw e
    const { operations } = await api.operationList(admin(), {})
    const begun = operations.find(({ subject }) => subject.name === image)
    if (!begun) throw e
    return begun.id
  }
}

/** Cases at the same time; each has hosts of its own. */
const atOnce = 6

describe.each(await backends())('every kind at every step (%s)', (backend: Backend) => {
  let cloud: WalkCloud
  beforeAll(async () => {
    cloud = await WalkCloud.open(backend)
    await uploadImage(cloud)
  }, 60_000)
  afterAll(() => cloud?.close(), 60_000)

  test('begins with every kind that may be begun', () => {
    const walked = new Set<OperationKind>(moments.map(({ kind }) => kind))
    for (const kind of beginnable) expect(walked).toContain(kind)
  })

  test.each(local)('%s', { timeout: 300_000 }, async (fault) => {
    const cases = moments.filter((moment) => happensTo(fault, moment))
    const wrong = await mapConcurrent(cases, atOnce, (moment) => new Walk(cloud, { ...moment, fault }).play())
    expect(wrong.flat()).toEqual([])
    expect(await capacityDrift(cloud.db)).toEqual([])
  })

  test.each(global)('%s', { timeout: 300_000 }, async (fault) => {
    const wrong: string[] = []
    for (const moment of moments.filter((moment) => happensTo(fault, moment)))
      wrong.push(...(await new Walk(cloud, { ...moment, fault }).play()))
    expect(wrong).toEqual([])
    expect(await capacityDrift(cloud.db)).toEqual([])
  })
})

/** The image that instances are made of: small, and really there. */
async function uploadImage({ api }: WalkCloud): Promise<void> {
  const { createHash } = await import('node:crypto')
  const bytes = Buffer.from('a kernel')
  const file = { sizeBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
  const { image } = await api.imageCreate(admin(), { name: 'walk', files: { kernel: file } })
  await api.imageWrite(admin(), { image: image.id, part: 'kernel', offset: 0, data: bytes.toString('base64') })
}
