import type { Guest } from '../driver.ts'

/** The moments in the life of a fake guest that its console shows. */
export const marks = ['boot', 'resume', 'power-button', 'shutdown', 'crash'] as const
export type Mark = (typeof marks)[number]
export type Moment = { at: number; mark: Mark }

/** What a guest would print when it boots; it says that there is no machine. */
const banner = ({ id, name, size, nics }: Guest): string[] => [
  'fake driver: there is no machine here, this console is made up',
  `Linux version 0.0-fake, ${size.vcpus} CPU, ${size.memoryMb} MiB of memory`,
  `nova fake guest host=${name} instance=${id}`,
  ...nics.map(({ mac }, i) => `eth${i}: ${mac}`),
  'GUEST-READY',
]

const lines: Readonly<Record<Mark, (guest: Guest) => string[]>> = {
  boot: banner,
  resume: () => ['resumed from saved memory'],
  'power-button': () => ['power button pressed', 'reboot: Power down'],
  shutdown: () => ['reboot: Power down'],
  crash: () => ['Kernel panic - not syncing: told to by a test'],
}

/** The console of a fake guest: made when it is asked for, so that thousands of guests cost no memory for it. */
export const fakeConsole = (guest: Guest, moments: readonly Moment[]): string =>
  moments
    .flatMap(({ at, mark }) => lines[mark](guest).map((line) => `${new Date(at).toISOString()} ${line}\n`))
    .join('')
