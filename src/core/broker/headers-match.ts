import { type Field, sameField, type Table, textOf } from './field-table.ts'

/** Whether a field of a message satisfies the field of a binding; void only requires presence. */
const satisfies = (wanted: Field, carried: Field | undefined): boolean =>
  carried !== undefined && (wanted.tag === 'V' || sameField(wanted, carried))

/**
 * Whether the headers of a message satisfy the arguments of a binding to a headers exchange. `x-match` is `all` (the
 * default) or `any`; both ignore arguments named `x-…`, their forms `all-with-x` and `any-with-x` do not.
 * @see AMQP 0-9-1 specification §3.1.3.4
 */
export function headersMatch(wanted: Table, carried: Table): boolean {
  const mode = textOf(wanted.get('x-match')) ?? 'all'
  const withX = mode.endsWith('-with-x')
  const any = mode.startsWith('any')
  for (const [name, field] of wanted) {
    if (name === 'x-match' || (!withX && name.startsWith('x-'))) continue
    if (satisfies(field, carried.get(name)) === any) return any
  }
  return !any
}
