/** The gateway of Apache Spark in Rust (apache/spark-connect-gateway), beside which this one is measured. */
import { decodeJwt } from 'jose';
import { stringify } from 'yaml';
import type { Target } from './plain-envoy.js';

/** Its program, if an operator names one: no package of it is published. */
export const rustGatewayBin = process.env['RUST_GATEWAY_BIN'];

/**
 * Its configuration file: as it comes, and with the tokens of the issuer of this one verified.
 *
 * @param token a JWT of the issuer, which has a discovery document
 */
export function rustGateway(listenPort: number, drivers: readonly Target[], token: string): string {
  const { iss: issuer = '' } = decodeJwt(token);
  return stringify({
    bind_addr: `127.0.0.1:${listenPort}`,
    admin_addr: null,
    backends: drivers.map(({ address, port }) => `${address}:${port}`),
    auth: {
      type: 'oidc',
      discovery_url: `${issuer}/.well-known/openid-configuration`,
      algorithms: ['RS256'],
      issuer,
    },
  });
}
