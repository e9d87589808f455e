/** Addresses that the server tells. */

/** undefined: it is none that a person is to be led to. */
export function safeHref(address: string | null, origin: string): string | undefined {
  if (address === null || !URL.canParse(address, origin)) return undefined;
  const { href, protocol } = new URL(address, origin);
  return protocol === 'https:' || protocol === 'http:' ? href : undefined;
}
