type Node<T> = { children: Map<string, Node<T>>; values: T[] }

/**
 * The words of a pattern or a key. An empty text has none, as in RabbitMQ, although `split` would return an empty one.
 */
const wordsOf = (text: string): string[] => (text === '' ? [] : text.split('.'))

const newNode = <T>(): Node<T> => ({ children: new Map(), values: [] })

/**
 * Values under topic patterns, found by routing key in one walk: words between dots, `*` for one word, `#` for any number.
 * @see AMQP 0-9-1 specification §3.1.3.3
 */
export class TopicTrie<T> {
  readonly #root: Node<T> = newNode()

  add(pattern: string, value: T): void {
    let node = this.#root
    for (const word of wordsOf(pattern)) {
      let child = node.children.get(word)
      if (!child) {
        child = newNode()
        node.children.set(word, child)
      }
      node = child
    }
    node.values.push(value)
  }

  remove(pattern: string, value: T): void {
    this.#prune(this.#root, wordsOf(pattern), 0, value)
  }

  /** Removes a value and every node that has become empty; true if the node itself is empty now. */
  #prune(node: Node<T>, words: readonly string[], depth: number, value: T): boolean {
    if (depth === words.length) node.values = node.values.filter((each) => each !== value)
    else {
      const word = words[depth]!
      const child = node.children.get(word)
      if (child && this.#prune(child, words, depth + 1, value)) node.children.delete(word)
    }
    return node.values.length === 0 && node.children.size === 0
  }

  /**
   * Calls `found` with every value whose pattern matches; a value comes more than once only if it was added more than
   * once.
   */
  match(routingKey: string, found: (value: T) => void): void {
    // A node behind `#` is entered from each of several words at most once, which keeps `#.#.#` from exploding.
    const covered = new Map<Node<T>, number>()
    const reported = new Set<Node<T>>()
    const words = wordsOf(routingKey)
    const visit = (node: Node<T>, at: number): void => {
      if (at === words.length) {
        if (!reported.has(node)) {
          reported.add(node)
          for (const value of node.values) found(value)
        }
      } else {
        const exact = node.children.get(words[at]!)
        // The words of a key are plain text: a key may contain a "#" that is not a wildcard.
        if (exact && words[at] !== '*' && words[at] !== '#') visit(exact, at + 1)
        const one = node.children.get('*')
        if (one) visit(one, at + 1)
      }
      const many = node.children.get('#')
      if (!many) return
      const until = covered.get(many) ?? words.length + 1
      if (at >= until) return
      covered.set(many, at)
      for (let next = at; next < until; next++) visit(many, next)
    }
    visit(this.#root, 0)
  }
}
