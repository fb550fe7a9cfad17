import { randomBytes, randomUUID } from 'node:crypto'

/** Source of identities and chance. Handed in, so that a simulator can replay a run. */
export type Ids = {
  /** A UUID with dashes: instances, images, operations. */
  uuid(): string
  /** 32 hexadecimal digits without dashes, as oslo.messaging names messages and queues. */
  hex(): string
  /** `req-` and a UUID: one request, from the command through every log line to the operation. */
  requestId(): string
  /** A number in [0, 1). */
  random(): number
}

/** Ids and chance from the machine's own randomness. */
export const systemIds: Ids = {
  uuid: () => randomUUID(),
  hex: () => randomUUID().replaceAll('-', ''),
  requestId: () => `req-${randomUUID()}`,
  random: () => Math.random(),
}

/** A MAC as Neutron makes them: its `base_mac` and 24 bits of chance. Whoever keeps the MAC sees that no other card has it. */
export function randomMac({ random }: Pick<Ids, 'random'>): string {
  const digits = Math.floor(random() * 2 ** 24)
    .toString(16)
    .padStart(6, '0')
  return ['fa', '16', '3e', ...[0, 2, 4].map((at) => digits.slice(at, at + 2))].join(':')
}

/** A password for a service of ours: 24 random bytes in the URL-safe alphabet. */
export const newPassword = (): string => randomBytes(24).toString('base64url')
