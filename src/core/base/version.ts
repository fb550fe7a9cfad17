import manifest from '../../../package.json' with { type: 'json' }

/** The version of this package; daemons write it into their service rows. */
export const version: string = manifest.version
