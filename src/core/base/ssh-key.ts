/** The types of keys that sshd takes (sshd(8), "AUTHORIZED_KEYS FILE FORMAT"), and then what the key is, in base64. */
const line = /^((?:sk-)?(?:ssh|ecdsa-sha2)-[a-z0-9@.-]+) ([A-Za-z0-9+/]+={0,2})(?: .*)?$/

/**
 * Whether a text is a public key as it stands in `*.pub` and, without options, in `authorized_keys`: type, key, comment. The
 * key repeats its type and says how long each of its parts is (RFC 4253, section 6.6), so that one that was cut off or
 * changed is noticed: nobody could log in with it.
 */
export function isPublicKey(text: string): boolean {
  const [, type, encoded] = line.exec(text) ?? []
  if (type === undefined || encoded === undefined) return false
  const parts = partsOf(Buffer.from(encoded, 'base64'))
  return parts !== undefined && parts.length >= 2 && parts[0]?.toString('latin1') === type
}

/** The parts of a key, each behind its length of four bytes; undefined if they do not end where the key ends. */
function partsOf(key: Buffer): Buffer[] | undefined {
  const parts: Buffer[] = []
  for (let at = 0; at < key.length; ) {
    if (at + 4 > key.length) return undefined
    const end = at + 4 + key.readUInt32BE(at)
    if (end > key.length) return undefined
    parts.push(key.subarray(at + 4, end))
    at = end
  }
  return parts
}
