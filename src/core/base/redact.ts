/** Several URLs in one text, separated by commas; a comma inside a URL (in a password, say) does not split it. */
export const splitUrls = (urls: string): string[] => urls.split(/,(?=\s*[a-z+]+:\/\/)/).map((url) => url.trim())

/**
 * A URL, or several, with every password replaced. A password that was not encoded may itself contain slashes, commas
 * and at signs. Safe for texts that are not URLs at all.
 */
export const redact = (urls: string): string =>
  splitUrls(urls)
    .map((url) =>
      url.includes('://')
        ? url.replace(/^([^/]*:\/\/[^:/@]*):.*@/s, '$1:***@')
        : url.replace(/^([^:@]*):.*@/s, '$1:***@'),
    )
    .join(',')
