import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../../src/core/base/exec.ts'
import type { Tls } from '../../src/core/base/tls.ts'

/** An authority and what it has signed, as paths of PEM files. */
export type Certificates = {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** What a peer that trusts this authority has; with `shown` its certificate, too. */
  trust(shown?: 'shown'): Tls
  drop(): void
}

/** Makes an authority, and a certificate of it for localhost, 127.0.0.1 or, where given, another name. */
export async function certificates(name = 'localhost'): Promise<Certificates> {
  const dir = mkdtempSync(join(tmpdir(), 'nova-tls-'))
  const path = (file: string) => join(dir, file)
  const openssl = async (...args: string[]) => {
    const { code, stderr } = await exec('openssl', args)
    if (code !== 0) throw new Error(`openssl ${args[0]}: ${stderr}`)
  }
  const fresh = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  await openssl(...fresh, '-subj', '/CN=nova test authority', '-keyout', path('ca.key'), '-out', path('ca.pem'))
  const names = name === 'localhost' ? 'subjectAltName=DNS:localhost,IP:127.0.0.1' : `subjectAltName=DNS:${name}`
  const signed = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-addext', names]
  const usage = ['-addext', 'basicConstraints=critical,CA:FALSE']
  const out = ['-keyout', path('key.pem'), '-out', path('cert.pem')]
  await openssl(...fresh, '-subj', `/CN=${name}`, ...signed, ...usage, ...out)
  const files = { ca: path('ca.pem'), cert: path('cert.pem'), key: path('key.pem') }
  return {
    ...files,
    trust: (shown) => ({
      ca: readFileSync(files.ca),
      ...(shown && { cert: readFileSync(files.cert), key: readFileSync(files.key) }),
    }),
    drop: () => rmSync(dir, { recursive: true, force: true }),
  }
}
