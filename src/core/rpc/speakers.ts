import type { Contract } from './contract.ts'
import { type Cap, firstOf, lowestOf } from './versions.ts'

type Named = Pick<Contract, 'topic' | 'version'>

/** Which versions of the contracts a service has told that it speaks, by topic; nothing where it is older than the question. */
type Spoken = {
  readonly binary: string
  readonly host: string
  readonly contracts: Readonly<Record<string, string>> | undefined
}

/** What all services that are up speak, as they last told; kept in memory, so that no message waits for a query. */
export class Speakers {
  #services: readonly Spoken[] = []

  /** Takes in what all of them have told. */
  learn(services: readonly Spoken[]): void {
    this.#services = services
  }

  /** Takes in what one of them has just told. */
  note(spoken: Spoken): void {
    const others = this.#services.filter(({ binary, host }) => binary !== spoken.binary || host !== spoken.host)
    this.#services = [...others, spoken]
  }

  /** What the service on one host speaks. Who has told nothing speaks the first version of the major. */
  on(contract: Named, binary: string, host: string): Cap {
    return () => this.#lowest(contract, (one) => one.binary === binary && one.host === host)
  }

  /** What every service of this name understands. */
  everywhere(contract: Named, binary: string): Cap {
    return () => this.#lowest(contract, (one) => one.binary === binary)
  }

  #lowest({ topic, version }: Named, wanted: (one: Spoken) => boolean): string | undefined {
    return lowestOf(this.#services.filter(wanted).map(({ contracts }) => contracts?.[topic] ?? firstOf(version)))
  }
}
