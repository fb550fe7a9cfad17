import { describe, expect, test } from 'vitest'
import { isPublicKey } from '../../../src/core/base/ssh-key.ts'

/** A key of these parts, as ssh-keygen writes it. */
const keyOf = (type: string, ...parts: Buffer[]): string => {
  const fields = [Buffer.from(type), ...parts].flatMap((part) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    return [length, part]
  })
  return `${type} ${Buffer.concat(fields).toString('base64')}`
}
const whole = keyOf('ssh-ed25519', Buffer.alloc(32, 7))

describe('a public key', () => {
  test.each([
    whole,
    `${whole} me@home`,
    `${whole} a comment with blanks`,
    keyOf('ssh-rsa', Buffer.from([1, 0, 1]), Buffer.alloc(257, 9)),
    keyOf('ecdsa-sha2-nistp256', Buffer.from('nistp256'), Buffer.alloc(65, 4)),
    keyOf('sk-ssh-ed25519@openssh.com', Buffer.alloc(32, 7), Buffer.from('ssh:')),
  ])('%s is whole', (text) => expect(isPublicKey(text)).toBe(true))

  test.each([
    '',
    'hello',
    'ssh-ed25519',
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI',
    whole.slice(0, -6),
    `${whole}AAAA`,
    whole.replace('ssh-ed25519', 'ssh-rsa'),
    'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5',
    `no-pty ${whole}`,
    `${whole}\n${whole}`,
    keyOf('ssh-ed25519').replace('ssh-ed25519 ', 'ssh-ed25519  '),
  ])('%j is none', (text) => expect(isPublicKey(text)).toBe(false))
})
