/** What must not compile. Checked by tsc alone: nothing here runs. */
import * as z from 'zod'
import type { Context } from '../../../src/core/model/context.ts'
import { type Bus, served } from '../../../src/core/rpc/bus.ts'
import { type Api, type Args, call, cast, contract, type Result } from '../../../src/core/rpc/contract.ts'

const machine = contract('machine', '1.0', {
  reboot: cast(z.object({ id: z.string(), kind: z.enum(['soft', 'hard']) })),
  output: call(z.object({ id: z.string(), lines: z.int().optional() }), z.object({ text: z.string() })),
})

export async function caller(bus: Bus, ctx: Context): Promise<void> {
  const remote = bus.client(machine, { server: 'h1' })
  await remote.reboot(ctx, { id: 'a', kind: 'hard' })
  const { text } = await remote.output(ctx, { id: 'a' }, { timeoutMs: 1_000 })
  text.trim()

  // @ts-expect-error no such method
  await remote.rebot(ctx, { id: 'a', kind: 'hard' })
  // @ts-expect-error a value that is not allowed
  await remote.reboot(ctx, { id: 'a', kind: 'firm' })
  // @ts-expect-error an argument is missing
  await remote.reboot(ctx, { id: 'a' })
  // @ts-expect-error an argument that the method does not have
  await remote.reboot(ctx, { id: 'a', kind: 'soft', now: true })
  // @ts-expect-error who asks is missing
  await remote.reboot({ id: 'a', kind: 'soft' })
  // @ts-expect-error a cast waits for nothing, so it has no timeout
  await remote.reboot(ctx, { id: 'a', kind: 'soft' }, { timeoutMs: 1_000 })
  // @ts-expect-error the answer has no such field
  ;(await remote.output(ctx, { id: 'a' })).lines.valueOf()
  // @ts-expect-error an optional argument is left out, not undefined
  await remote.output(ctx, { id: 'a', lines: '3' })
  // @ts-expect-error a target has a server and nothing else
  bus.client(machine, { host: 'h1' })
}

const good: Api<typeof machine> = { reboot: async () => undefined, output: async () => ({ text: '' }) }
served(machine, good)
// @ts-expect-error a server that forgets a method
served(machine, { reboot: async () => undefined })
// @ts-expect-error a result of the wrong type
served(machine, { ...good, output: async () => ({ text: 3 }) })
// @ts-expect-error a result that is missing
served(machine, { ...good, output: async () => undefined })
// @ts-expect-error a handler that wants an argument which the method does not have
served(machine, { ...good, reboot: async (_ctx: Context, args: { when: Date }) => void args.when })

const args: Args<typeof machine, 'output'> = { id: 'a', lines: 3 }
const result: Result<typeof machine, 'output'> = { text: args.id }
// @ts-expect-error a cast has no result to read
const nothing: Result<typeof machine, 'reboot'> = { text: '' }
export const all = [args, result, nothing]
