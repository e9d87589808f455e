/** The certificate of an HTTP server, from PEM files that may be renewed while it runs. */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
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
 * Reads the files again and again: Kubernetes swaps directories under them, which file notices miss.
 * What cannot be used is logged once, and the last good pair stays.
 */
export class Certificate {
  readonly #options: CertificateOptions;
  #current: KeyPair;
  #failing = false;
  #timer: Timer | undefined;

  /** @throws GatewayError SETTINGS_INVALID when the files cannot be used */
  constructor(options: CertificateOptions) {
    this.#options = options;
    this.#current = read(options);
  }

  get current(): KeyPair {
    return this.#current;
  }

  /** @param onChange is given each pair that takes the place of another */
  follow(onChange: (pair: KeyPair) => void): void {
    this.#timer = this.#options.clock.setTimer(this.#options.refreshMs ?? 10_000, () => {
      this.#refresh(onChange);
      this.follow(onChange);
    });
  }

  close(): void {
    this.#timer?.cancel();
  }

  #refresh(onChange: (pair: KeyPair) => void): void {
    const { logger, certFile } = this.#options;
    try {
      const pair = read(this.#options);
      this.#failing = false;
      if (pair.cert === this.#current.cert && pair.key === this.#current.key) return;
      this.#current = pair;
      onChange(pair);
      logger.info({ certFile }, 'certificate renewed');
    } catch (error) {
      if (!this.#failing) {
        const reason = reasonOf(error);
        logger.error({ certFile, reason }, 'certificate refused, the last one stays');
      }
      this.#failing = true;
    }
  }
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
