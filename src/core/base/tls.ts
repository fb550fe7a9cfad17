/** What one side of a TLS connection has, each as PEM; an authority that is absent is the machine's own list of them. */
export type Tls = { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer }

/** What Node.js calls a certificate that does not hold, in words. */
const findProblems: Readonly<Record<string, string>> = {
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not known here',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate comes from nobody but itself',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from an authority that is not known here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not known here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not known here',
  CERT_SIGNATURE_FAILURE: 'its certificate was not signed by the authority that is known here',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

/** Why a server's certificate was not accepted; undefined where something else went wrong. */
export const certificateTrouble = (e: unknown): string | undefined => {
  const { code } = e as { code?: unknown }
  return typeof code === 'string' && Object.hasOwn(findProblems, code) ? `${findProblems[code]} (${code})` : undefined
}
