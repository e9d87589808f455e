/** Mutual TLS from PEM files that may be renewed while the process runs. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ChannelCredentials, experimental, ServerCredentials } from '@grpc/grpc-js';
import { Followed } from '../files/followed.js';
import { type Clock, systemClock } from '../../model/clock.js';
import { GatewayError, reasonOf, toGatewayError } from '../../model/errors.js';

/** Paths of PEM files. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** The authorities that the other side's certificate must chain to. */
  readonly caFile: string;
}

export interface TlsOptions {
  readonly clock?: Clock;
  /** How often the files are read again, milliseconds; 10 s by default. */
  readonly refreshMs?: number;
  /**
   * For a client: DNS or URI names, of which the server's certificate must have one; none: any that
   * the authority signed. By default it must have the name of the host that is dialled.
   */
  readonly serverNames?: readonly string[];
  /** Told once for each failure in a row to read the files; what was read before stays in use. */
  readonly onError?: (error: GatewayError) => void;
}

/**
 * Credentials of a server that takes only clients with a certificate of `caFile`; in the clear
 * without `files`. Renewed files are used for new connections.
 * @throws GatewayError SETTINGS_INVALID when the files cannot be read or do not belong together.
 */
export function serverCredentials(
  files: TlsFiles | undefined,
  options: TlsOptions = {},
): ServerCredentials {
  if (!files) return ServerCredentials.createInsecure();
  const provider = new PemFiles(files, options);
  return experimental.createCertificateProviderServerCredentials(provider, provider, true);
}

export interface ServerTlsOptions extends Pick<TlsOptions, 'clock' | 'refreshMs' | 'onError'> {
  /** Given what new connections are to use, at once and whenever the files are renewed. */
  readonly onContext: (context: SecureContextOptions) => void;
}

export interface ServerTls {
  /** Reads the files no more. */
  close(): void;
}

/**
 * For a TLS server of Node's own: its certificate and key, and the authority of its clients.
 * @throws GatewayError SETTINGS_INVALID when the files cannot be read or do not belong together.
 */
export function followServerTls(files: TlsFiles, options: ServerTlsOptions): ServerTls {
  const { clock = systemClock, refreshMs, onError, onContext } = options;
  const use = ({ identity, ca }: Loaded) =>
    onContext({ cert: identity.certificate, key: identity.privateKey, ca: ca.caCertificate });
  const followed = new Followed({
    read: () => load(files),
    isSame: sameBytes,
    clock,
    refreshMs,
    onChange: use,
    onFailure: (error) => onError?.(toGatewayError(error)),
  });
  use(followed.current);
  followed.start();
  return { close: () => followed.stop() };
}

/**
 * Credentials of a client that shows its certificate and believes servers of `caFile` only; in the
 * clear without `files`. Renewed files are used for new connections.
 * @throws GatewayError SETTINGS_INVALID when the files cannot be read or do not belong together.
 */
export function clientCredentials(
  files: TlsFiles | undefined,
  options: TlsOptions = {},
): ChannelCredentials {
  if (!files) return ChannelCredentials.createInsecure();
  const provider = new PemFiles(files, options);
  const { serverNames } = options;
  return experimental.createCertificateProviderChannelCredentials(
    provider,
    provider,
    serverNames && { checkServerIdentity: (_host, { raw }) => wrongName(raw, serverNames) },
  );
}

function wrongName(certificate: Buffer, wanted: readonly string[]): Error | undefined {
  const { uris, dnsNames } = peerIdentity(new X509Certificate(certificate));
  const has = [...uris, ...dnsNames];
  if (wanted.length === 0 || has.some((name) => wanted.includes(name))) return undefined;
  return new Error(`the certificate has none of the names ${wanted.join(', ')}`);
}

/** The URI and DNS names in the files' own certificate. */
export function certificateNames({ certFile }: TlsFiles): readonly string[] {
  const { uris, dnsNames } = peerIdentity(new X509Certificate(readFileSync(certFile)));
  return [...uris, ...dnsNames];
}

interface Loaded {
  readonly identity: experimental.IdentityCertificateUpdate;
  readonly ca: experimental.CaCertificateUpdate;
}

/**
 * Reads the files while someone listens. Unlike grpc-js's own watcher it keeps what it had when the
 * files are missing or a new certificate stands beside an old key, as happens in the middle of a
 * renewal.
 */
class PemFiles implements experimental.CertificateProvider {
  readonly #files: Followed<Loaded>;
  readonly #caListeners = new Set<experimental.CaCertificateUpdateListener>();
  readonly #identityListeners = new Set<experimental.IdentityCertificateUpdateListener>();

  constructor(files: TlsFiles, { clock = systemClock, refreshMs, onError }: TlsOptions) {
    this.#files = new Followed({
      read: () => load(files),
      isSame: sameBytes,
      clock,
      refreshMs,
      onChange: ({ ca, identity }) => {
        for (const listener of this.#caListeners) listener(ca);
        for (const listener of this.#identityListeners) listener(identity);
      },
      onFailure: (error) => onError?.(toGatewayError(error)),
    });
  }

  addCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#start();
    this.#caListeners.add(listener);
    process.nextTick(listener, this.#files.current.ca);
  }

  removeCaCertificateListener(listener: experimental.CaCertificateUpdateListener): void {
    this.#caListeners.delete(listener);
    this.#stopIfUnused();
  }

  addIdentityCertificateListener(listener: experimental.IdentityCertificateUpdateListener): void {
    this.#start();
    this.#identityListeners.add(listener);
    process.nextTick(listener, this.#files.current.identity);
  }

  removeIdentityCertificateListener(
    listener: experimental.IdentityCertificateUpdateListener,
  ): void {
    this.#identityListeners.delete(listener);
    this.#stopIfUnused();
  }

  /** What was read may be old when nobody has listened for a while. */
  #start(): void {
    if (this.#isUnused()) this.#files.refresh();
    this.#files.start();
  }

  #stopIfUnused(): void {
    if (this.#isUnused()) this.#files.stop();
  }

  #isUnused(): boolean {
    return this.#caListeners.size === 0 && this.#identityListeners.size === 0;
  }
}

function load(files: TlsFiles): Loaded {
  try {
    const certificate = readFileSync(files.certFile);
    const privateKey = readFileSync(files.keyFile);
    const caCertificate = readFileSync(files.caFile);
    createSecureContext({ cert: certificate, key: privateKey, ca: caCertificate });
    return { identity: { certificate, privateKey }, ca: { caCertificate } };
  } catch (cause) {
    const why = reasonOf(cause);
    throw new GatewayError(
      'SETTINGS_INVALID',
      `The TLS files ${files.certFile}, ${files.keyFile}, ${files.caFile} cannot be used: ${why}. ` +
        'They must be a PEM certificate, its private key, and the certificates of its peers’ authorities.',
      { cause },
    );
  }
}

function sameBytes(a: Loaded, b: Loaded): boolean {
  return (
    a.identity.certificate.equals(b.identity.certificate) &&
    a.identity.privateKey.equals(b.identity.privateKey) &&
    a.ca.caCertificate.equals(b.ca.caCertificate)
  );
}

/** Who the other side of a connection is, by its verified certificate. */
export interface PeerIdentity {
  /** SPIFFE ids and other URIs. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
}

/** The subject alternative names of a certificate (RFC 5280 section 4.2.1.6). */
export function peerIdentity(certificate: X509Certificate): PeerIdentity {
  const names = subjectAltNames(certificate.subjectAltName ?? '');
  const ofKind = (kind: string) =>
    names.filter((name) => name.startsWith(kind)).map((name) => name.slice(kind.length));
  return { uris: ofKind('URI:'), dnsNames: ofKind('DNS:') };
}

/**
 * Splits Node's text form, in which a name with a comma, quote or control character is a JSON string
 * after its kind, so that it cannot pass for several names.
 * https://nodejs.org/docs/latest-v20.x/api/crypto.html#x509subjectaltname
 */
function subjectAltNames(text: string): string[] {
  const entries = text.match(/[^,:"]+:(?:"(?:[^"\\]|\\.)*"|[^,"]*)/g) ?? [];
  return entries.map((entry) => {
    const trimmed = entry.trim();
    const colon = trimmed.indexOf(':');
    const value = trimmed.slice(colon + 1);
    const name: unknown = value.startsWith('"') ? JSON.parse(value) : value;
    return `${trimmed.slice(0, colon)}:${String(name)}`;
  });
}
