/**
 * Does `work` for all items, at most `most` at the same time, and gives the results in the order of the items. The first
 * failure is the failure of all; no item is begun after it.
 */
export async function mapConcurrent<T, R>(
  items: readonly T[],
  most: number,
  work: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    try {
      for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i]!, i)
    } finally {
      next = items.length
    }
  }
  await Promise.all(Array.from({ length: Math.min(most, items.length) }, worker))
  return results
}
