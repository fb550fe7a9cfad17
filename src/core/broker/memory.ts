/** Bytes of messages in the whole broker, and the alarm above a limit. */
export class Memory {
  readonly bound: number
  readonly #onChange: (alarmed: boolean) => void
  #held = 0
  #alarmed = false

  /** The alarm is raised above `bound` bytes and cleared below nine tenths of it. */
  constructor(bound: number, onChange: (alarmed: boolean) => void) {
    this.bound = bound
    this.#onChange = onChange
  }

  get held(): number {
    return this.#held
  }

  get alarmed(): boolean {
    return this.#alarmed
  }

  grow(bytes: number): void {
    this.#held += bytes
    if (!this.#alarmed && this.#held > this.bound) this.#set(true)
  }

  shrink(bytes: number): void {
    this.#held -= bytes
    if (this.#alarmed && this.#held < this.bound * 0.9) this.#set(false)
  }

  #set(alarmed: boolean): void {
    this.#alarmed = alarmed
    this.#onChange(alarmed)
  }
}
