import { refuse } from './amqp-error.ts'
import { readTable, textOf } from './field-table.ts'
import type { Login, Users } from './users.ts'
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

/** What RabbitMQ says to a refused login. */
export const refusedText = (mechanism: string): string =>
  `Login was refused using authentication mechanism ${mechanism}. For details see the broker logfile.`

/** Whom a SASL response proves; `address` is the peer's. 503 for a mechanism that was not offered. */
export async function authenticate(users: Users, mechanism: string, response: Buffer, address: string): Promise<Login> {
  if (!mechanisms.split(' ').includes(mechanism))
    refuse('COMMAND_INVALID', `unknown authentication mechanism '${mechanism}'`)
  const given = credentials(mechanism, response)
  return given === undefined ? 'refused' : users.login(given.user, given.password, address)
}
