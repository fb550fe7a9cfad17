import { createPrivateKey, X509Certificate } from 'node:crypto'
import { fail, reason } from '../base/errors.ts'
import { readSmallFile } from '../base/read-small-file.ts'
import type { Tls } from '../base/tls.ts'
import type { Config } from './load.ts'

type Section = 'bus' | 'database' | 'broker'
type Part = 'ca' | 'cert' | 'key'

/** Far more than all certificates of a system take, in bytes. */
const fileMax = 4 << 20

/**
 * The certificates that a section names, read from their files; undefined if it names none. `ConfigInvalid` for files
 * that cannot be used.
 */
export function certificatesOf(config: Config, section: Section): Tls | undefined {
  const { caFile, certFile, keyFile } = config[section]
  if (!caFile && !certFile && !keyFile) return undefined
  const refuse = (part: Part, allowed: string): never => {
    const key = `${section}.${part}_file`
    const value = config[section][`${part}File`] || '(nothing)'
    return fail('ConfigInvalid', { key, value, allowed, source: config.sources[key] ?? 'default' })
  }
  if (certFile && !keyFile) refuse('key', `set ${section}.key_file, too: the key that belongs to ${section}.cert_file`)
  if (keyFile && !certFile)
    refuse('cert', `set ${section}.cert_file, too: the certificate that belongs to ${section}.key_file`)
  const read = (part: Part, path: string): Buffer => {
    try {
      return readSmallFile(path, fileMax)
    } catch (e) {
      return refuse(part, (e as { code?: unknown }).code === 'ENOENT' ? 'there is no such file' : reason(e))
    }
  }
  const certificate = (part: 'ca' | 'cert', path: string): { pem: Buffer; first: X509Certificate } => {
    const pem = read(part, path)
    try {
      return { pem, first: new X509Certificate(pem) }
    } catch {
      return refuse(part, 'it must be a certificate in PEM (-----BEGIN CERTIFICATE-----)')
    }
  }
  const ca = caFile ? { ca: certificate('ca', caFile).pem } : {}
  if (!certFile) return ca
  const { pem: cert, first } = certificate('cert', certFile)
  const key = read('key', keyFile)
  let fits = false
  try {
    fits = first.checkPrivateKey(createPrivateKey(key))
  } catch {
    refuse('key', 'it must be a private key in PEM, without a passphrase')
  }
  if (!fits) refuse('key', `it is not the key of ${certFile}`)
  return { ...ca, cert, key }
}
