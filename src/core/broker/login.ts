import { readTable, textOf } from './field-table.ts'
import type { User, Users } from './users.ts'
import { Reader, Writer } from './wire.ts'

/** The mechanisms offered, in the order of preference. */
export const mechanisms = 'PLAIN AMQPLAIN'

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

/** The user that a SASL response proves; undefined if it proves none. */
export async function authenticate(users: Users, mechanism: string, response: Buffer): Promise<User | undefined> {
  const given = credentials(mechanism, response)
  return given && users.login(given.user, given.password)
}
