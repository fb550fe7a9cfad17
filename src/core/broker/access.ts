import { refuse } from './amqp-error.ts'

/**
 * What a user may do, as in RabbitMQ: regular expressions over the names of queues and exchanges and, for the topic
 * exchanges that are listed, over routing keys. An exchange that is not listed takes any key.
 * @see https://www.rabbitmq.com/docs/access-control
 */
export type Permissions = {
  readonly configure: string
  readonly write: string
  readonly read: string
  readonly topics: ReadonlyArray<{ readonly exchange: string; readonly write: string; readonly read: string }>
}

type Action = 'configure' | 'write' | 'read'

/** The permissions of one user, compiled. Each check fails with 403 if the answer is no. */
export class Access {
  readonly #user: string
  readonly #may: Readonly<Record<Action, RegExp>>
  readonly #topics: ReadonlyMap<string, Readonly<Record<'write' | 'read', RegExp>>>

  constructor(user: string, { configure, write, read, topics }: Permissions) {
    this.#user = user
    this.#may = { configure: new RegExp(configure), write: new RegExp(write), read: new RegExp(read) }
    this.#topics = new Map(
      topics.map((topic) => [topic.exchange, { write: new RegExp(topic.write), read: new RegExp(topic.read) }]),
    )
  }

  /** Whether the user may do this to a queue or an exchange; the default exchange has the name `amq.default`. */
  check(action: Action, kind: 'queue' | 'exchange', name: string, vhost: string): void {
    const known = kind === 'exchange' && name === '' ? 'amq.default' : name
    if (this.#may[action].test(known)) return
    refuse('ACCESS_REFUSED', `access to ${kind} '${known}' in vhost '${vhost}' refused for user '${this.#user}'`)
  }

  /** Whether the user may know of a queue or an exchange: whoever may do anything to it. */
  checkKnown(kind: 'queue' | 'exchange', name: string, vhost: string): void {
    if (!Object.values(this.#may).some((may) => may.test(name))) this.check('read', kind, name, vhost)
  }

  /** Whether the user may publish, or bind, this key on a topic exchange. */
  checkTopic(action: 'write' | 'read', exchange: string, key: string, vhost: string): void {
    if (this.#topics.get(exchange)?.[action].test(key) ?? true) return
    refuse(
      'ACCESS_REFUSED',
      `access to topic '${key}' in exchange '${exchange}' in vhost '${vhost}' refused for user '${this.#user}'`,
    )
  }
}
