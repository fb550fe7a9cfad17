import { createHash, timingSafeEqual } from 'node:crypto'
import { readTable, textOf } from './field-table.ts'
import { Reader, Writer } from './wire.ts'

/** Who may log in, and with which password. */
export type Users = Readonly<Record<string, string>>

/** The mechanisms offered, in the order of preference. */
export const mechanisms = 'PLAIN AMQPLAIN'

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()

function credentials(mechanism: string, response: Buffer): { user: string; password: string } | undefined {
  if (mechanism === 'PLAIN') {
    // RFC 4616: authorisation identity, user, password, with zero bytes between.
    const [, user, password, ...more] = response.toString().split('\0')
    return user === undefined || password === undefined || more.length > 0 ? undefined : { user, password }
  }
  // AMQPLAIN: a field table without the length that other tables have in front.
  const writer = new Writer()
  writer.longstr(response)
  const table = readTable(new Reader(writer.done()))
  const [user, password] = [textOf(table.get('LOGIN')), textOf(table.get('PASSWORD'))]
  return user === undefined || password === undefined ? undefined : { user, password }
}

/** The name of the user that a SASL response proves; undefined where it proves none. Takes equally long for any password. */
export function authenticate(users: Users, mechanism: string, response: Buffer): string | undefined {
  const given = credentials(mechanism, response)
  if (!given) return undefined
  const known = Object.hasOwn(users, given.user) ? users[given.user] : undefined
  const same = timingSafeEqual(digest(given.password), digest(known ?? ''))
  return same && known !== undefined ? given.user : undefined
}
