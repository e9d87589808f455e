/** The OpenID Connect issuer with which people sign in: authorization code, PKCE, state and nonce. */
import * as client from 'openid-client';

export interface ProviderOptions {
  readonly issuer: string;
  readonly clientId: string;
  /** undefined: a public client. */
  readonly clientSecret: string | undefined;
  /** Separated by spaces; has `openid`. */
  readonly scope: string;
  readonly redirectUri: string;
}

/** What must be known when the browser comes back. */
export interface Attempt {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
}

const TIMEOUT_S = 10;

export class Provider {
  readonly #options: ProviderOptions;
  #configuration: Promise<client.Configuration> | undefined;

  constructor(options: ProviderOptions) {
    this.#options = options;
  }

  /** Where to send the browser. Rejects when the issuer does not answer. */
  async begin(): Promise<{ readonly url: URL; readonly attempt: Attempt }> {
    const configuration = await this.#discovered();
    const attempt = {
      state: client.randomState(),
      nonce: client.randomNonce(),
      verifier: client.randomPKCECodeVerifier(),
    };
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#options.redirectUri,
      scope: this.#options.scope,
      state: attempt.state,
      nonce: attempt.nonce,
      code_challenge: await client.calculatePKCECodeChallenge(attempt.verifier),
      code_challenge_method: 'S256',
    });
    return { url, attempt };
  }

  /** The access token of who came back with this query. Rejects when anything does not fit the attempt. */
  async finish(query: URLSearchParams, { state, nonce, verifier }: Attempt): Promise<string> {
    const current = new URL(this.#options.redirectUri);
    current.search = query.toString();
    const tokens = await client.authorizationCodeGrant(await this.#discovered(), current, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: verifier,
      idTokenExpected: true,
    });
    return tokens.access_token;
  }

  /** An issuer that did not answer is asked again the next time. */
  #discovered(): Promise<client.Configuration> {
    this.#configuration ??= this.#discover().catch((error: unknown) => {
      this.#configuration = undefined;
      throw error;
    });
    return this.#configuration;
  }

  #discover(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.#options;
    const url = new URL(issuer);
    return client.discovery(
      url,
      clientId,
      undefined,
      clientSecret === undefined ? client.None() : client.ClientSecretBasic(clientSecret),
      {
        timeout: TIMEOUT_S,
        // Settings allow http for loopback addresses only.
        execute: url.protocol === 'http:' ? [client.allowInsecureRequests] : [],
      },
    );
  }
}
