import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { emptyTable } from '../../../src/core/broker/field-table.ts'
import {
  buses,
  channel,
  client,
  closeClients,
  consume,
  cut,
  drain,
  fresh,
  quiet,
  refusal,
  send,
  settled,
} from './kit.ts'
import { RawPeer } from './raw-peer.ts'

const both = await buses()
closeClients()

/** What no single command shows: orders, races and losses, the same on both brokers. */
describe.each(both)('orders, races and losses, on $name', ({ url }) => {
  const { port, pathname } = new URL(url)
  const virtualHost = decodeURIComponent(pathname.slice(1)) || '/'

  test('confirms come once for each message, and after its return, whatever is mixed', async () => {
    const ch = await channel(url)
    const [open, full] = [fresh('open'), fresh('full')]
    await ch.assertQueue(open)
    await ch.assertQueue(full, { maxLength: 1, arguments: { 'x-overflow': 'reject-publish' } })
    await send(ch, full, ['first'])
    const kinds = fc.constantFrom('kept', 'lost', 'returned', 'refused')
    const mixture = fc.sample(fc.array(kinds, { minLength: 300, maxLength: 300 }), { numRuns: 1, seed: 7 })[0] ?? []
    const story = new Map<string, string[]>()
    const note = (id: string, what: string) => story.set(id, [...(story.get(id) ?? []), what])
    ch.on('return', (message) => note(message.content.toString(), 'returned'))
    const confirms = mixture.map((kind, i) => {
      const id = String(i)
      const queue = kind === 'kept' ? open : kind === 'refused' ? full : 'nowhere'
      return new Promise<void>((resolve) => {
        ch.publish('', queue, Buffer.from(id), { mandatory: kind === 'returned' }, (e) => {
          note(id, e ? 'refused' : 'confirmed')
          resolve()
        })
      })
    })
    await Promise.all(confirms)
    const expected = {
      kept: ['confirmed'],
      lost: ['confirmed'],
      returned: ['returned', 'confirmed'],
      refused: ['refused'],
    }
    expect(mixture.map((_, i) => story.get(String(i)))).toEqual(mixture.map((kind) => expected[kind as 'kept']))
    const kept = mixture.flatMap((kind, i) => (kind === 'kept' ? [String(i)] : []))
    expect(await drain(ch, open)).toEqual(kept)
  })

  test('what several consumers give back is given out again in its old order, before what came later', async () => {
    const [publisher, one, other] = [await channel(url), await channel(url), await channel(url)]
    const queue = fresh('order')
    await publisher.assertQueue(queue)
    await Promise.all([one.prefetch(3), other.prefetch(3)])
    const [first, second] = [await consume(one, queue), await consume(other, queue)]
    await send(publisher, queue, ['1', '2', '3', '4', '5', '6', '7', '8'])
    await Promise.all([first.upTo(3), second.upTo(3)])
    await Promise.all([one.cancel(first.consumerTag), other.cancel(second.consumerTag)])
    other.nackAll(true)
    await settled(other, queue)
    one.nackAll(true)
    await settled(one, queue)
    expect(await drain(publisher, queue)).toEqual(['1', '2', '3', '4', '5', '6', '7', '8'])
  })

  test('a slow consumer with a prefetch holds no more than that, and the quick one does the rest', async () => {
    const [publisher, slow, quick] = [await channel(url), await channel(url), await channel(url)]
    const queue = fresh('share')
    await publisher.assertQueue(queue)
    await Promise.all([slow.prefetch(5), quick.prefetch(1)])
    const held = await consume(slow, queue)
    let done = 0
    await quick.consume(queue, (message) => {
      if (!message) return
      done++
      quick.ack(message)
    })
    await send(
      publisher,
      queue,
      Array.from({ length: 200 }, (_, i) => String(i)),
    )
    await vi.waitFor(() => expect(done).toBe(195))
    expect(held.all).toHaveLength(5)
  })

  test('of many who declare one exclusive queue, one has it, and another when that one is gone', async () => {
    const queue = fresh('won')
    const models = await Promise.all(Array.from({ length: 8 }, () => client(url)))
    const claim = async (model: (typeof models)[number]): Promise<number | 'won'> => {
      const ch = quiet(await model.createChannel())
      const lost = new Promise<number>((resolve) =>
        ch.once('error', (e) => resolve((e as { code?: number }).code ?? 0)),
      )
      return Promise.race([
        lost,
        ch.assertQueue(queue, { exclusive: true }).then(
          () => 'won' as const,
          () => lost,
        ),
      ])
    }
    const answers = await Promise.all(models.map(claim))
    expect([...answers].sort()).toEqual([...Array(7).fill(405), 'won'])
    const [winner] = models.splice(answers.indexOf('won'), 1)
    cut(winner!)
    await vi.waitFor(async () => expect(await claim(models[0]!)).toBe('won'))
  })

  test('an auto-delete queue that loses its last consumer while another comes is there or is not, never half', async () => {
    const model = await client(url)
    for (let i = 0; i < 40; i++) {
      const queue = fresh('race')
      const [leaver, comer] = [
        quiet(await model.createChannel()),
        quiet(await (await client(url)).createConfirmChannel()),
      ]
      await leaver.assertQueue(queue, { autoDelete: true })
      const last = await consume(leaver, queue)
      const came = consume(comer, queue, { noAck: true }).then(
        (inbox) => inbox,
        () => undefined,
      )
      const goes = i % 2 === 0 ? leaver.cancel(last.consumerTag) : leaver.close()
      const inbox = await came
      await goes
      if (!inbox) {
        const other = await channel(url)
        expect((await refusal(other, () => other.checkQueue(queue))).code).toBe(404)
        continue
      }
      await send(comer, queue, ['x'])
      await inbox.until(({ all, cancelled }) => all.length === 1 || cancelled)
      expect(inbox.cancelled).toBe(false)
    }
  })

  test('a queue that expires begins its time anew with each use', async () => {
    const ch = await channel(url)
    const queue = fresh('used')
    await ch.assertQueue(queue, { expires: 700 })
    const used = [() => ch.assertQueue(queue, { expires: 700 }), () => ch.get(queue)]
    for (let i = 0; i < 6; i++) {
      await new Promise((resolve) => setTimeout(resolve, 250))
      await used[i % 2]?.()
    }
    const inbox = await consume(ch, queue)
    await new Promise((resolve) => setTimeout(resolve, 900))
    await send(ch, queue, ['still there'])
    await inbox.upTo(1)
  })

  test('a client that is frozen is dropped after two heartbeats, and what it had goes to others', async () => {
    const publisher = await channel(url)
    const queue = fresh('frozen')
    await publisher.assertQueue(queue)
    const frozen = new RawPeer(Number(port))
    await frozen.open(1, emptyTable, virtualHost)
    const flags = { noLocal: false, noAck: false, exclusive: false, nowait: false }
    frozen.send(1, 'basic.consume', { ticket: 0, queue, consumerTag: '', ...flags, arguments: emptyTable })
    await frozen.hears('basic.consume-ok')
    await send(publisher, queue, ['x'])
    await vi.waitFor(() => expect(frozen.heard).toContain('content'))
    const inbox = await consume(publisher, queue)
    await frozen.closed
    expect((await inbox.upTo(1))[0]?.fields.redelivered).toBe(true)
  })
})
