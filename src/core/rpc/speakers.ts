import type { Contract } from './contract.ts'
import { type Cap, firstOf, lowestOf } from './versions.ts'

type Named = Pick<Contract, 'topic' | 'version'>

/**
 * The versions of the contracts that a service reports, by topic; undefined if the service is too old to report them.
 */
type Spoken = {
  readonly binary: string
  readonly host: string
  readonly contracts: Readonly<Record<string, string>> | undefined
}

/**
 * The reported versions of all services that are up; kept in memory, so that no message waits for a query. The cost of
 * a report and of a question does not depend on the number of services.
 */
export class Speakers {
  /** By binary, then by host. */
  #services = new Map<string, Map<string, Spoken>>()
  /** How many hosts' services of a binary speak which version of a topic; computed at the first question. */
  #tallies = new Map<string, Tally>()

  /** Replaces all reports; other services are forgotten. */
  recordAll(services: readonly Spoken[]): void {
    this.#services = new Map()
    this.#tallies = new Map()
    for (const spoken of services) this.#hostsOf(spoken.binary).set(spoken.host, spoken)
  }

  /** Records the report of one service. */
  record(spoken: Spoken): void {
    const hosts = this.#hostsOf(spoken.binary)
    const before = hosts.get(spoken.host)
    hosts.set(spoken.host, spoken)
    for (const tally of this.#tallies.values()) if (tally.binary === spoken.binary) tally.replace(before, spoken)
  }

  /**
   * The versions of the service on one host. A service that reports no version is assumed to speak the first one of the
   * major.
   */
  on(contract: Named, binary: string, host: string): Cap {
    return () => {
      const spoken = this.#services.get(binary)?.get(host)
      return spoken && versionIn(spoken, contract)
    }
  }

  /** The versions that every service of this binary understands. */
  everywhere(contract: Named, binary: string): Cap {
    const key = `${binary} ${contract.topic} ${contract.version}`
    return () => {
      let tally = this.#tallies.get(key)
      if (tally === undefined) {
        tally = new Tally(binary, contract)
        for (const spoken of this.#hostsOf(binary).values()) tally.replace(undefined, spoken)
        this.#tallies.set(key, tally)
      }
      return tally.lowest
    }
  }

  #hostsOf(binary: string): Map<string, Spoken> {
    const known = this.#services.get(binary)
    if (known !== undefined) return known
    const hosts = new Map<string, Spoken>()
    this.#services.set(binary, hosts)
    return hosts
  }
}

const versionIn = ({ contracts }: Spoken, { topic, version }: Named): string => contracts?.[topic] ?? firstOf(version)

/** The versions of one topic that the services of one binary speak, each with how many speak it. */
class Tally {
  readonly binary: string
  readonly #contract: Named
  readonly #counts = new Map<string, number>()
  #lowest: string | undefined

  constructor(binary: string, contract: Named) {
    this.binary = binary
    this.#contract = contract
  }

  get lowest(): string | undefined {
    return this.#lowest
  }

  replace(before: Spoken | undefined, after: Spoken): void {
    const version = versionIn(after, this.#contract)
    const old = before && versionIn(before, this.#contract)
    if (version === old) return
    this.#count(version, 1)
    if (old !== undefined) this.#count(old, -1)
    // As many as there are versions, which are few.
    this.#lowest = lowestOf([...this.#counts.keys()])
  }

  #count(version: string, by: 1 | -1): void {
    const count = (this.#counts.get(version) ?? 0) + by
    if (count > 0) this.#counts.set(version, count)
    else this.#counts.delete(version)
  }
}
