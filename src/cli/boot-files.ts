import { readFile } from 'node:fs/promises'
import { buffer } from 'node:stream/consumers'
import { misuse } from './command-error.ts'

/** The first word of a public key, as ssh-keygen writes it. */
const keyTypes = /^(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\S+|sk-(ssh|ecdsa)-\S+) +[A-Za-z0-9+/]+=*( .*)?$/
/** The limit of the EC2 and OpenStack APIs, for the base64 text. */
const userDataMax = 65_535

/** The public key that `--key` means: the text of the key, or the file that holds it. Misuse if it is a private key. */
export async function readKey(given: string): Promise<string> {
  if (keyTypes.test(given.trim())) return given.trim()
  const line = (await read('key', given, 'a public key, or a file that holds one')).trim()
  if (line.includes('PRIVATE KEY'))
    misuse(
      `--key: ${given} is a private key, which must not leave this machine.`,
      `Use its public half: --key ${given}.pub`,
    )
  if (!keyTypes.test(line)) misuse(`--key: ${given} holds no SSH public key.`, 'Create one: ssh-keygen -t ed25519')
  return line
}

/** The user data that `--user-data` names, as base64; `-` is standard input. */
export async function readUserData(path: string): Promise<string> {
  const bytes = path === '-' ? await buffer(process.stdin) : await readBytes('user-data', path, 'a file')
  const data = bytes.toString('base64')
  if (data.length > userDataMax)
    misuse(
      `--user-data: ${path} has ${bytes.length} bytes; the limit is 49150.`,
      'Let cloud-init fetch the rest: #include URL',
    )
  return data
}

const read = async (flag: string, path: string, allowed: string): Promise<string> =>
  (await readBytes(flag, path, allowed)).toString('utf8')

async function readBytes(flag: string, path: string, allowed: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (e) {
    const { code } = e as NodeJS.ErrnoException
    const why = code === 'ENOENT' ? 'does not exist' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`
    return misuse(`--${flag}: ${path} ${why}.`, `Give ${allowed}.`)
  }
}
