import type { Contract } from './contract.ts'
import { type Cap, firstOf, lowestOf } from './versions.ts'

type Named = Pick<Contract, 'topic' | 'version'>

/** Which versions of the contracts a service says that it speaks, by topic; nothing if it is older than the question. */
type Spoken = {
  readonly binary: string
  readonly host: string
  readonly contracts: Readonly<Record<string, string>> | undefined
}

/**
 * What all services that are up speak, as they said last; kept in memory, so that no message waits for a query. A report
 * and a question cost the same however many services there are.
 */
export class Speakers {
  /** By binary, then by host. */
  #services = new Map<string, Map<string, Spoken>>()
  /** How many hosts' services of a binary speak which version of a topic; made when somebody first asks. */
  #tallies = new Map<string, Tally>()

  /** Takes in what all of them have said; any other service is forgotten. */
  learn(services: readonly Spoken[]): void {
    this.#services = new Map()
    this.#tallies = new Map()
    for (const spoken of services) this.#hostsOf(spoken.binary).set(spoken.host, spoken)
  }

  /** Takes in what one of them has just said. */
  note(spoken: Spoken): void {
    const hosts = this.#hostsOf(spoken.binary)
    const before = hosts.get(spoken.host)
    hosts.set(spoken.host, spoken)
    for (const tally of this.#tallies.values()) if (tally.binary === spoken.binary) tally.replace(before, spoken)
  }

  /** What the service on one host speaks. Who has said nothing speaks the first version of the major. */
  on(contract: Named, binary: string, host: string): Cap {
    return () => {
      const spoken = this.#services.get(binary)?.get(host)
      return spoken && versionIn(spoken, contract)
    }
  }

  /** What every service of this name understands. */
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
