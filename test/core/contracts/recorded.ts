import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { agent } from '../../../src/core/contracts/agent.ts'
import { compute } from '../../../src/core/contracts/compute.ts'
import { computeAgent } from '../../../src/core/contracts/compute-agent.ts'
import { conductor } from '../../../src/core/contracts/conductor.ts'
import { scheduler } from '../../../src/core/contracts/scheduler.ts'
import type { Contract } from '../../../src/core/rpc/contract.ts'
import { firstOf, isNewer } from '../../../src/core/rpc/versions.ts'

/** A JSON Schema, as far as is looked into. */
export type Json = {
  [key: string]: unknown
  properties?: Record<string, Json>
  required?: string[]
  items?: Json
  oneOf?: Json[]
}

/** A contract as it was at some version: each method with the schemas of what it takes and of its answer. */
export type Recorded = {
  topic: string
  version: string
  methods: Record<string, { kind: 'call' | 'cast'; args: Json; result?: Json }>
}

/** The contracts between daemons, which may be of different versions in one cloud. */
export const contracts: readonly Contract[] = [agent, compute, computeAgent, conductor, scheduler]

/** The schema of what is there at `version`, without what came later; all of it if no version is given. */
export const shape = (schema: z.ZodType, version?: string): Json =>
  asOf(z.toJSONSchema(schema, { unrepresentable: 'any', reused: 'inline' }) as Json, version)

const isLater = ({ since }: Json, version: string | undefined): boolean =>
  version !== undefined && typeof since === 'string' && isNewer(since, version)

function asOf({ since: _, $schema: __, ...json }: Json, version: string | undefined): Json {
  const kept = Object.entries(json.properties ?? {}).filter(([, field]) => !isLater(field, version))
  return {
    ...json,
    ...(json.properties === undefined
      ? {}
      : { properties: Object.fromEntries(kept.map(([name, field]) => [name, asOf(field, version)])) }),
    ...(json.items === undefined ? {} : { items: asOf(json.items, version) }),
    ...(json.oneOf === undefined
      ? {}
      : { oneOf: json.oneOf.filter((one) => !isLater(one, version)).map((one) => asOf(one, version)) }),
  }
}

/** A contract as it was at a version. */
export function recordOf({ topic, version: today, methods }: Contract, version: string): Recorded {
  const first = firstOf(today)
  const there = Object.entries(methods).filter(([, { since = first }]) => !isNewer(since, version))
  return {
    topic,
    version,
    methods: Object.fromEntries(
      there.map(([name, method]) => [
        name,
        {
          kind: method.kind,
          args: shape(method.args, version),
          ...(method.kind === 'call' ? { result: shape(method.result, version) } : {}),
        },
      ]),
    ),
  }
}

const folder = join(import.meta.dirname, 'previous')

/** Where the record of a contract is kept. */
export const recordPath = (topic: string): string => join(folder, `${topic}.json`)

/** The messages of the version before on a topic, as they were recorded; undefined for a topic that is not between daemons. */
export function previous(topic: string): Recorded | undefined {
  if (!contracts.some((contract) => contract.topic === topic)) return undefined
  return JSON.parse(readFileSync(recordPath(topic), 'utf8')) as Recorded
}

/** What a reader keeps of what was said who knows only this schema. */
export function keptBy(schema: Json, said: unknown): unknown {
  const { properties, items, oneOf } = schema
  if (Array.isArray(said)) return items === undefined ? said : said.map((one) => keptBy(items, one))
  if (typeof said !== 'object' || said === null) return said
  const kind = oneOf?.find((one) => one.properties?.kind?.const === (said as { kind?: unknown }).kind)
  if (kind) return keptBy(kind, said)
  if (properties === undefined) return said
  const known = Object.entries(said).flatMap(([name, value]) => {
    const field = properties[name]
    return field === undefined ? [] : [[name, keptBy(field, value)] as const]
  })
  return Object.fromEntries(known)
}
