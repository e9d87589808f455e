/** The certificate of an HTTP server, from PEM files that may be renewed while it runs. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import { Followed } from '../files/followed.js';
import type { Clock } from '../model/clock.js';
import { GatewayError, reasonOf } from '../model/errors.js';

export interface CertificateOptions {
  /** Paths: a certificate chain, and its private key. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** How often the files are read, milliseconds; 10 s by default. */
  readonly refreshMs?: number;
}

interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/**
 * `onChange` is given each pair that takes the place of another.
 * @throws GatewayError SETTINGS_INVALID when the files cannot be used
 */
export function followCertificate(
  options: CertificateOptions,
  onChange: (pair: KeyPair) => void,
): Followed<KeyPair> {
  const { certFile, clock, logger, refreshMs } = options;
  const followed = new Followed<KeyPair>({
    read: () => read(options),
    isSame: (a, b) => a.cert === b.cert && a.key === b.key,
    clock,
    refreshMs,
    onChange(pair) {
      onChange(pair);
      logger.info({ certFile }, 'certificate renewed');
    },
    onFailure: (error) =>
      logger.error(
        { certFile, reason: reasonOf(error) },
        'certificate refused, the last one stays',
      ),
  });
  followed.start();
  return followed;
}

function read({ certFile, keyFile }: CertificateOptions): KeyPair {
  try {
    const pair = { cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `${certFile} and ${keyFile} cannot be used: ${reasonOf(cause)}. They must be a PEM certificate and its private key.`,
      { cause },
    );
  }
}
