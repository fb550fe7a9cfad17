import type { conductor } from '../../src/core/contracts/conductor.ts'
import type { Operation } from '../../src/core/contracts/shapes.ts'
import type { Api } from '../../src/core/rpc/contract.ts'
import { admin } from './cloud.ts'

const againMs = 100
const patienceMs = 45_000

/** Asks until somebody answers, for a cloud that is being broken on purpose: the question is one that may be repeated. */
export async function persist<T>(ask: () => Promise<T>): Promise<T> {
  const until = performance.now() + patienceMs
  for (;;) {
    try {
      return await ask()
    } catch (e) {
      if (performance.now() > until) throw e
      await new Promise((resolve) => setTimeout(resolve, againMs))
    }
  }
}

/** How an operation ended. Asked again and again: the events that would tell are lost with the broker. */
export async function endOf(api: Api<typeof conductor>, id: string): Promise<Operation> {
  for (;;) {
    const operation = await persist(() => api.operationShow(admin(), { operation: id }, { timeoutMs: 3000 }))
    if (operation.finishedAt !== undefined) return operation
    await new Promise((resolve) => setTimeout(resolve, againMs))
  }
}
