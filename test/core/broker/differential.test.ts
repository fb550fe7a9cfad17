import type { ChannelModel, ConfirmChannel, GetMessage } from 'amqplib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { buses, client, closeClients, fresh, quiet } from './kit.ts'

const both = await buses()
closeClients()

/** One action on the queues and exchanges of a run, by numbers. */
type Action =
  | { do: 'publish'; key: string; mandatory: boolean }
  | { do: 'bind' | 'unbind'; queue: number; pattern: string }
  | { do: 'get' | 'purge' | 'delete' | 'declare'; queue: number }
  | { do: 'ack' | 'nack' | 'reject'; which: number; all: boolean }
  | { do: 'recover' }

const word = fc.constantFrom('a', 'b', '')
const key = fc.array(word, { minLength: 1, maxLength: 3 }).map((words) => words.join('.'))
const pattern = fc
  .array(fc.constantFrom('a', 'b', '*', '#', ''), { minLength: 1, maxLength: 3 })
  .map((words) => words.join('.'))
const queue = fc.nat(2)
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('publish' as const), key, mandatory: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom('bind' as const, 'unbind' as const), queue, pattern }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('get' as const), queue }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constantFrom('purge' as const, 'delete' as const, 'declare' as const), queue }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom('ack' as const, 'nack' as const, 'reject' as const),
      which: fc.nat(5),
      all: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('recover' as const) }) },
)

/** Carries out actions on one broker, one after the other, and writes down what each came to. */
class Player {
  readonly story: unknown[] = []
  readonly #ch: ConfirmChannel
  readonly #exchange = fresh('x')
  readonly #names = [fresh('q'), fresh('q'), fresh('q')]
  readonly #there = new Set<string>()
  #out: GetMessage[] = []
  #sent = 0

  constructor(ch: ConfirmChannel) {
    this.#ch = ch
    ch.on('return', ({ content }) => this.story.push(`returned ${content}`))
  }

  static async play(model: ChannelModel, actions: readonly Action[]): Promise<unknown[]> {
    const player = new Player(quiet(await model.createConfirmChannel()))
    await player.#open()
    for (const action of actions) await player.#carryOut(action)
    await player.#close()
    return player.story
  }

  async #open(): Promise<void> {
    await this.#ch.assertExchange(this.#exchange, 'topic', { autoDelete: false, durable: false })
    for (const name of this.#names) await this.#declare(name)
  }

  async #declare(name: string): Promise<void> {
    const { messageCount } = await this.#ch.assertQueue(name, { durable: false })
    this.#there.add(name)
    this.story.push(`there with ${messageCount}`)
  }

  async #carryOut(action: Action): Promise<void> {
    if (action.do === 'publish') {
      this.#ch.publish(this.#exchange, action.key, Buffer.from(String(this.#sent++)), { mandatory: action.mandatory })
      await this.#ch.waitForConfirms()
    } else if (action.do === 'recover') {
      await this.#ch.recover()
      this.#out = []
    } else if ('which' in action) this.#settle(action)
    else await this.#onQueue(action)
  }

  async #onQueue(action: Extract<Action, { queue: number }>): Promise<void> {
    const name = this.#names[action.queue] ?? ''
    if (action.do === 'declare') return this.#declare(name)
    if (!this.#there.has(name)) return
    if (action.do === 'bind') await this.#ch.bindQueue(name, this.#exchange, action.pattern)
    else if (action.do === 'unbind') await this.#ch.unbindQueue(name, this.#exchange, action.pattern)
    else if (action.do === 'purge') this.story.push((await this.#ch.purgeQueue(name)).messageCount)
    else if (action.do === 'delete') {
      this.#there.delete(name)
      this.story.push((await this.#ch.deleteQueue(name)).messageCount)
    } else {
      const got = await this.#ch.get(name)
      if (got) this.#out.push(got)
      this.story.push(
        got && [String(got.content), got.fields.redelivered, got.fields.messageCount, got.fields.routingKey],
      )
    }
  }

  /** Acknowledges or gives back one message that is out, or all up to it. */
  #settle({ do: how, which, all }: Extract<Action, { which: number }>): void {
    const one = this.#out[which % Math.max(1, this.#out.length)]
    if (!one) return
    const many = all && how !== 'reject'
    const tag = one.fields.deliveryTag
    this.#out = this.#out.filter(({ fields }) => (many ? fields.deliveryTag > tag : fields.deliveryTag !== tag))
    if (how === 'ack') this.#ch.ack(one, many)
    else if (how === 'nack') this.#ch.nack(one, many, true)
    else this.#ch.reject(one, false)
  }

  /** What is left in each queue, in order, with what was out. */
  async #close(): Promise<void> {
    await this.#ch.recover()
    for (const name of this.#there) {
      for (let got = await this.#ch.get(name, { noAck: true }); got; got = await this.#ch.get(name, { noAck: true }))
        this.story.push([String(got.content), got.fields.redelivered])
      await this.#ch.deleteQueue(name)
    }
    await this.#ch.deleteExchange(this.#exchange)
    await this.#ch.close()
  }
}

test('the same actions come to the same end on every broker', { timeout: 120_000 }, async () => {
  const models = await Promise.all(both.map(({ url }) => client(url)))
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 60 }), async (actions) => {
      const [first, ...others] = await Promise.all(models.map((model) => Player.play(model, actions)))
      for (const other of others) expect(first).toEqual(other)
    }),
    { numRuns: 150 },
  )
})
