/** The most queues that are listed, however many a broker has: RabbitMQ has no larger page. */
const queuesMax = 500

/** Those that are listed: the fullest. */
export const fullest = <Q extends { readonly messages: number }>(queues: readonly Q[]): Q[] =>
  queues.length <= queuesMax ? [...queues] : [...queues].sort((a, b) => b.messages - a.messages).slice(0, queuesMax)

/** How a broker that sorts by itself is asked for the fullest. */
export const fullestQuery = { page: '1', page_size: String(queuesMax), sort: 'messages', sort_reverse: 'true' } as const

/** That some are left out, in words; undefined if none are. */
export const leftOut = (total: number): string | undefined =>
  total <= queuesMax ? undefined : `Only the ${queuesMax} queues with the most messages are listed, of ${total}.`
