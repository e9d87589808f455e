/** What is probably wrong with how an issuer is written, before anybody asks it. */

const OKTA = /(^|\.)okta(preview|-emea|-gov)?\.com$/;

/**
 * With both spellings; undefined: nothing. `isOkta`: it is Okta's whatever its host, as one with a name of
 * its own may be.
 */
export function issuerNote(issuer: string, isOkta = false): string | undefined {
  const { hostname, pathname } = new URL(issuer);
  if (!isOkta && !OKTA.test(hostname)) return undefined;
  if (OKTA.test(hostname) && pathname === '/') {
    const custom = `${issuer.replace(/\/$/, '')}/oauth2/default`;
    return `${JSON.stringify(issuer)} is the org authorization server of Okta, whose access tokens only Okta can verify: use a custom one, such as ${JSON.stringify(custom)}`;
  }
  return issuer.endsWith('/')
    ? `${JSON.stringify(issuer)} ends with a slash, which Okta's issuers do not, and an issuer is compared byte for byte with the claim "iss" of tokens: write ${JSON.stringify(issuer.slice(0, -1))}`
    : undefined;
}
