import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { contracts, recordOf, recordPath } from '../test/core/contracts/recorded.ts'

/**
 * Writes the messages between daemons as they were at a version (`npx tsx tools/record-contracts.ts 2.0`), for the tests
 * that play a peer of that version. What came later, by its `since`, is left out. `npm run fix` formats them.
 */
const [version] = process.argv.slice(2)
if (version === undefined || !/^\d+\.\d+$/.test(version)) {
  console.error('Which version of the contracts is to be recorded? For example: npx tsx tools/record-contracts.ts 2.0')
  process.exit(2)
}
for (const contract of contracts) {
  const path = recordPath(contract.topic)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, `${JSON.stringify(recordOf(contract, version), undefined, 2)}\n`)
  console.log(path)
}
