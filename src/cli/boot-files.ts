import { createReadStream } from 'node:fs'
import { isPublicKey } from '../core/base/ssh-key.ts'
import { misuse } from './command-error.ts'

const giveItself = 'Give the key itself: --key "ssh-ed25519 AAAA… you@host"'

/** The first word of a public key, as ssh-keygen writes it. */
const keyType = /\b(sk-)?(ssh|ecdsa-sha2)-\S+ +[A-Za-z0-9+/]/

/** The limit of the EC2 and OpenStack APIs is 65,535 characters of base64: so many bytes. */
const userDataMax = 49_149
/** Of a file with a key, among comments and blank lines. */
const keyFileMax = 65_536

/**
 * The public key that `--key` means: the text of the key, or the file that holds one, among blank lines and comments. Misuse
 * if there is none, more than one, or a private key.
 */
export async function readKey(given: string): Promise<string> {
  if (isPublicKey(given.trim())) return given.trim()
  const bytes = await readBytes('key', given, 'a public key, or a file that holds one', keyFileMax)
  if (bytes.length > keyFileMax)
    misuse(`--key: ${given} has more than ${keyFileMax} bytes: no file with one key.`, giveItself)
  const text = bytes.toString('utf8')
  if (text.includes('PRIVATE KEY'))
    misuse(
      `--key: ${given} is a private key, which must not leave this machine.`,
      `Use its public half: --key ${given}.pub`,
    )
  const lines = text.split('\n').map((line) => line.trim().replaceAll('\t', ' '))
  const keys = lines.filter(isPublicKey)
  const [key] = keys
  if (keys.length > 1) misuse(`--key: ${given} holds ${keys.length} keys; an instance gets one.`, giveItself)
  if (key !== undefined) return key
  const likely = lines.find((line) => line !== '' && !line.startsWith('#') && keyType.test(line))
  if (likely === undefined) misuse(`--key: ${given} holds no SSH public key.`, 'Create one: ssh-keygen -t ed25519')
  if (keyType.exec(likely)?.index === 0)
    misuse(`--key: the key in ${given} is cut off or damaged.`, 'Copy the whole line of the .pub file.')
  return misuse(`--key: the key in ${given} has options in front, which guests do not get.`, giveItself)
}

/** The user data that `--user-data` names, as base64; `-` is standard input. */
export async function readUserData(path: string): Promise<string> {
  const bytes = await readBytes('user-data', path, 'a file', userDataMax)
  if (bytes.length > userDataMax)
    misuse(`--user-data: ${path} has more than ${userDataMax} bytes.`, 'Let cloud-init fetch the rest: #include URL')
  return bytes.toString('base64')
}

/** The bytes of a file, or of standard input (`-`): not many more than `most`, if there are more, as a device has. */
async function readBytes(flag: string, path: string, allowed: string, most: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of path === '-' ? process.stdin : createReadStream(path)) {
      chunks.push(chunk as Buffer)
      size += (chunk as Buffer).length
      if (size > most) break
    }
    return Buffer.concat(chunks)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`
    return misuse(`--${flag}: ${path} ${why}.`, `Give ${allowed}.`)
  }
}
