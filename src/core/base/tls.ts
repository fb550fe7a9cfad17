/** What one side of a TLS connection has, each as PEM; without `ca`, the machine's own list of CAs is used. */
export type Tls = { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer }

/** Node.js's codes for certificates that fail verification, in words. */
const certificateProblems: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate is signed by an unknown CA',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate is signed by an unknown CA',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate is signed by an unknown CA',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is signed by an unknown CA',
  CERT_SIGNATURE_FAILURE: 'its certificate is not signed by the configured CA',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate does not cover the host name',
}

/** Why a server's certificate was not accepted; undefined if something else went wrong. */
export const certificateTrouble = (e: unknown): string | undefined => {
  const { code } = e as { code?: unknown }
  return typeof code === 'string' && Object.hasOwn(certificateProblems, code)
    ? `${certificateProblems[code]} (${code})`
    : undefined
}
