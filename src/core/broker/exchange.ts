import { emptyTable, type Table } from './field-table.ts'
import { headersMatch } from './headers-match.ts'
import type { Queue } from './queue.ts'
import type { Share } from './share.ts'
import { TopicTrie } from './topic-trie.ts'

/** The exchange types of the specification (3.1.3). */
export const exchangeTypes = ['direct', 'fanout', 'topic', 'headers'] as const
export type ExchangeType = (typeof exchangeTypes)[number]

/** A binding of an exchange to a queue or to another exchange. */
export type Binding = {
  readonly source: Exchange
  readonly destination: Queue | Exchange
  readonly routingKey: string
  readonly args: Table
  /** The share of the user who made it, if that one has limits. */
  readonly share: Share | undefined
}

export type ExchangeDeclaration = {
  name: string
  type: ExchangeType
  durable: boolean
  autoDelete: boolean
  /** Closed to publishers: only other exchanges publish to it. */
  internal: boolean
  table: Table
  /** Receives messages that match no binding here. */
  alternate: string | undefined
  /** The share of the user who declared it, if that one has limits. */
  share?: Share | undefined
}

/** What the type of an exchange decides: how to find the bindings that match a message. */
type Index = {
  add(binding: Binding): void
  remove(binding: Binding): void
  /** Valid until the next change of bindings. */
  match(routingKey: string, headers: Table): readonly Binding[]
}

const none: readonly Binding[] = []

function directIndex(): Index {
  const byKey = new Map<string, Binding[]>()
  return {
    add(binding) {
      const list = byKey.get(binding.routingKey)
      if (list) list.push(binding)
      else byKey.set(binding.routingKey, [binding])
    },
    remove(binding) {
      const rest = (byKey.get(binding.routingKey) ?? []).filter((each) => each !== binding)
      if (rest.length > 0) byKey.set(binding.routingKey, rest)
      else byKey.delete(binding.routingKey)
    },
    match: (routingKey) => byKey.get(routingKey) ?? none,
  }
}

function listIndex(matches: (binding: Binding, headers: Table) => boolean): Index {
  const all = new Set<Binding>()
  return {
    add: (binding) => void all.add(binding),
    remove: (binding) => void all.delete(binding),
    match: (_routingKey, headers) => [...all].filter((binding) => matches(binding, headers)),
  }
}

/** Patterns without a wildcard are looked up as keys: calls and casts use no others. */
function topicIndex(): Index {
  const keys = directIndex()
  const trie = new TopicTrie<Binding>()
  let patterns = 0
  const isPattern = ({ routingKey }: Binding): boolean => /[*#]/.test(routingKey)
  return {
    add(binding) {
      if (!isPattern(binding)) return keys.add(binding)
      patterns++
      trie.add(binding.routingKey, binding)
    },
    remove(binding) {
      if (!isPattern(binding)) return keys.remove(binding)
      patterns--
      trie.remove(binding.routingKey, binding)
    },
    match(routingKey, headers) {
      const exact = keys.match(routingKey, headers)
      if (patterns === 0) return exact
      const found = [...exact]
      trie.match(routingKey, (binding) => void found.push(binding))
      return found
    },
  }
}

const indexes: Record<ExchangeType, () => Index> = {
  direct: directIndex,
  fanout: () => listIndex(() => true),
  topic: topicIndex,
  headers: () => listIndex((binding, headers) => headersMatch(binding.args, headers)),
}

/** One exchange and its bindings. */
export class Exchange {
  readonly kind = 'exchange'
  readonly declared: ExchangeDeclaration
  readonly #index: Index
  readonly #bindings = new Set<Binding>()

  constructor(declared: ExchangeDeclaration) {
    this.declared = declared
    this.#index = indexes[declared.type]()
  }

  get name(): string {
    return this.declared.name
  }

  get bindings(): ReadonlySet<Binding> {
    return this.#bindings
  }

  add(binding: Binding): void {
    this.#bindings.add(binding)
    this.#index.add(binding)
  }

  remove(binding: Binding): void {
    if (this.#bindings.delete(binding)) this.#index.remove(binding)
  }

  /** The bindings that match a message; valid until the next change of bindings. */
  match(routingKey: string, headers: Table | undefined): readonly Binding[] {
    return this.#index.match(routingKey, headers ?? emptyTable)
  }
}
