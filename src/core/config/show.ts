import { redact } from '../base/redact.ts'
import type { Config } from './load.ts'
import { camel, optionRows } from './schema.ts'

/** Every option with its effective value and its source; passwords in URLs are hidden. */
export function shownOptions(config: Config): Array<{ key: string; value: unknown; source: string }> {
  const state = { key: 'state_dir', value: config.stateDir, source: 'NOVA_STATE_DIR' }
  return [
    state,
    ...optionRows().map((row) => {
      const [section = '', name = ''] = row.key.split('.')
      const value = (config as unknown as Record<string, Record<string, unknown>>)[section]?.[camel(name)]
      return {
        key: row.key,
        value: row.secret ? redact(String(value)) : value,
        source: config.sources[row.key] ?? 'default',
      }
    }),
  ]
}
