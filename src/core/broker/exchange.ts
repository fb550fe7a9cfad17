import { emptyTable, type Table } from './field-table.ts'
import { headersMatch } from './headers-match.ts'
import type { Queue } from './queue.ts'
import { TopicTrie } from './topic-trie.ts'

/** The exchange types of the specification (3.1.3). */
export const exchangeTypes = ['direct', 'fanout', 'topic', 'headers'] as const
export type ExchangeType = (typeof exchangeTypes)[number]

/** What makes messages of an exchange go to a queue, or on to another exchange. */
export type Binding = {
  readonly source: Exchange
  readonly destination: Queue | Exchange
  readonly routingKey: string
  readonly args: Table
}

export type ExchangeDeclaration = {
  name: string
  type: ExchangeType
  durable: boolean
  autoDelete: boolean
  /** Closed to publishers: only other exchanges feed it. */
  internal: boolean
  table: Table
  /** Takes what finds no destination here. */
  alternate: string | undefined
}

/** What an exchange's type decides: where to look for the bindings that a message matches. */
type Index = {
  add(binding: Binding): void
  remove(binding: Binding): void
  match(routingKey: string, headers: Table, found: (binding: Binding) => void): void
}

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
    match(routingKey, _headers, found) {
      for (const binding of byKey.get(routingKey) ?? []) found(binding)
    },
  }
}

function listIndex(matches: (binding: Binding, headers: Table) => boolean): Index {
  const all = new Set<Binding>()
  return {
    add: (binding) => void all.add(binding),
    remove: (binding) => void all.delete(binding),
    match(_routingKey, headers, found) {
      for (const binding of all) if (matches(binding, headers)) found(binding)
    },
  }
}

function topicIndex(): Index {
  const trie = new TopicTrie<Binding>()
  return {
    add: (binding) => trie.add(binding.routingKey, binding),
    remove: (binding) => trie.remove(binding.routingKey, binding),
    match: (routingKey, _headers, found) => trie.match(routingKey, found),
  }
}

const indexes: Record<ExchangeType, () => Index> = {
  direct: directIndex,
  fanout: () => listIndex(() => true),
  topic: topicIndex,
  headers: () => listIndex((binding, headers) => headersMatch(binding.args, headers)),
}

/** One exchange and the bindings that lead out of it. */
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

  /** Calls `found` with each binding that a message matches. */
  match(routingKey: string, headers: Table | undefined, found: (binding: Binding) => void): void {
    this.#index.match(routingKey, headers ?? emptyTable, found)
  }
}
