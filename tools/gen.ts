import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { failures } from '../src/core/base/errors.ts'
import { optionRows } from '../src/core/config/schema.ts'
import { agent } from '../src/core/contracts/agent.ts'
import { broker } from '../src/core/contracts/broker.ts'
import { compute } from '../src/core/contracts/compute.ts'
import { computeAgent } from '../src/core/contracts/compute-agent.ts'
import { conductor } from '../src/core/contracts/conductor.ts'
import { scheduler } from '../src/core/contracts/scheduler.ts'
import type { Contract } from '../src/core/rpc/contract.ts'

/**
 * Writes what is generated from the code: docs/errors.md, docs/config.md, docs/messages.md and the command list of the
 * README. With --check it writes nothing and fails where one of them is not what the code says.
 */
const root = resolve(import.meta.dirname, '..')
const notice = '<!-- Made by `npm run gen` from the code. Do not edit. -->'
const table = (head: string[], rows: string[][]) =>
  [head, head.map(() => '---'), ...rows]
    .map((row) => `| ${row.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n')

function errorsPage(): string {
  // Texts are functions of what happened: shown with the names of its parameters in their places.
  const join = () => '‹…›'
  const special: Record<string, unknown> = {
    near: undefined,
    ids: { length: '‹count›', join },
    // A list to one failure, a sentence to another.
    allowed: { length: 1, join, toString: () => '‹allowed›' },
  }
  const named = new Proxy(special, { get: (known, key) => (key in known ? known[String(key)] : `‹${String(key)}›`) })
  const say = (text: unknown): string =>
    text === undefined ? '' : ((text as (p: unknown) => string | undefined)(named) ?? '')
  const rows = Object.entries(failures).map(([code, row]) => {
    const { http, python, text, hint } = row as { http: number; python: string; text: unknown; hint?: unknown }
    return [`\`${code}\``, String(http), `\`${python}\``, say(text), say(hint)]
  })
  return `# Failures\n\n${notice}\n\nEvery failure that may cross the bus: its code, the HTTP status that stands for it, the class that a Python\npeer sees, what a person reads, and what they are told to do. The table is \`src/core/base/errors.ts\`.\n\n${table(['code', 'HTTP', 'nova.exception', 'text', 'hint'], rows)}\n`
}

function configPage(): string {
  const rows = optionRows().map((row) => [
    `\`${row.key}\``,
    `\`${JSON.stringify(row.default)}\``,
    row.unit ?? '',
    row.why,
    `\`${row.env}\``,
  ])
  return `# Configuration\n\n${notice}\n\nOne schema declares every option (\`src/core/config/schema.ts\`). Read in this order, the later wins: defaults, the TOML file\n(\`/etc/nova/nova.toml\`, or \`--config\`, or \`NOVA_CONFIG\`), the environment, flags. The state directory is \`NOVA_STATE_DIR\`;\nwithout it \`/var/lib/nova\` for root and \`~/.local/share/nova\` for everybody else. \`nova config show\` prints what holds.\n\n${table(['key', 'default', 'unit', 'what for', 'environment'], rows)}\n`
}

function messagesPage(): string {
  const contracts: Array<[string, Contract]> = Object.entries({
    conductor,
    agent,
    computeAgent,
    scheduler,
    compute,
    broker,
  })
  const parts = contracts.map(([name, contract]) => {
    const rows = Object.entries(contract.methods).map(([method, law]) => [`\`${method}\``, law.kind, fields(law.args)])
    const where = contract.namespace
      ? `topic \`${contract.topic}\`, namespace \`${contract.namespace}\``
      : `topic \`${contract.topic}\``
    return `## ${name}\n\n${where}, version ${contract.version}; \`src/core/contracts/${name}.ts\`\n\n${table(['method', 'kind', 'arguments'], rows)}\n`
  })
  return `# Messages\n\n${notice}\n\nEverything that travels on the bus. \`?\` marks what may be left out; the full schemas are in the files named.\n\n${parts.join('\n')}`
}

function fields(schema: z.ZodType): string {
  if (!(schema instanceof z.ZodObject)) return ''
  return Object.entries(schema.shape)
    .map(([key, field]) => `${key}${(field as z.ZodType).safeParse(undefined).success ? '?' : ''}`)
    .join(', ')
}

function readme(): string {
  const manifest = JSON.parse(readFileSync(join(root, 'oclif.manifest.json'), 'utf8')) as {
    commands: Record<string, { id: string; summary?: string; hidden?: boolean }>
  }
  const rows = Object.values(manifest.commands)
    .filter((command) => !command.hidden)
    .sort((a, b) => a.id.localeCompare(b.id))
    .map((command) => [`\`nova ${command.id.replaceAll(':', ' ')}\``, command.summary ?? ''])
  const text = readFileSync(join(root, 'README.md'), 'utf8')
  const [before, after] = [text.split('<!-- commands -->')[0], text.split('<!-- /commands -->')[1]]
  if (after === undefined) throw new Error('README.md has lost its <!-- commands --> marks')
  return `${before}<!-- commands -->\n${table(['command', 'what it does'], rows)}\n<!-- /commands -->${after}`
}

const pages: Record<string, () => string> = {
  'docs/errors.md': errorsPage,
  'docs/config.md': configPage,
  'docs/messages.md': messagesPage,
  'README.md': readme,
}
const checking = process.argv.includes('--check')
const old = Object.entries(pages).filter(([file, make]) => {
  const path = join(root, file)
  const text = make()
  let current = ''
  try {
    current = readFileSync(path, 'utf8')
  } catch {}
  if (current === text) return false
  if (!checking) writeFileSync(path, text)
  return true
})
for (const [file] of old) console.log(checking ? `${file} is not what the code says: npm run gen` : `wrote ${file}`)
if (checking && old.length > 0) process.exit(1)
