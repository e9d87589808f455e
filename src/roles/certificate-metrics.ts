/** For how long the certificates in files are good: an expired one is noticed by its victims only. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Gauge, type Registry } from 'prom-client';
import type { Settings } from '../settings/table.js';

interface Validity {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
}

interface Certificate {
  /** The setting that names the file. */
  readonly setting: string;
  /** PEM; undefined where the setting is not set. */
  readonly file: string | undefined;
  /** A chain is good for as long as all of it, authorities for as long as one is. */
  readonly kind: 'chain' | 'authorities';
}

interface Found {
  readonly setting: string;
  readonly validity: Validity;
}

/** Files are read when Prometheus asks. One that cannot be read, or holds no certificate, has no series. */
export function certificateMetrics(
  registry: Registry,
  role: 'control-plane' | 'authz',
  settings: Settings,
  read: (file: string) => Promise<string> = (file) => readFile(file, 'utf8'),
): void {
  const certificates = (role === 'authz' ? mtls(settings) : all(settings)).filter(
    ({ file }) => file !== undefined,
  );
  // A scrape asks for all metrics at once.
  let reading: Promise<readonly Found[]> | undefined;
  const found = () =>
    (reading ??= validities(certificates, read).finally(() => (reading = undefined)));
  const gauge = (name: string, help: string, time: (validity: Validity) => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: ['setting'],
        registers: [],
        async collect() {
          const now = await found();
          this.reset();
          for (const { setting, validity } of now) this.set({ setting }, time(validity) / 1000);
        },
      }),
    );
  gauge(
    'spark_gateway_certificate_not_before_timestamp_seconds',
    'Since when the certificate in the file of a setting is good.',
    ({ notBeforeMs }) => notBeforeMs,
  );
  gauge(
    'spark_gateway_certificate_not_after_timestamp_seconds',
    'Until when the certificate in the file of a setting is good.',
    ({ notAfterMs }) => notAfterMs,
  );
}

function mtls({ mtls: files }: Settings): readonly Certificate[] {
  return [
    { setting: 'mtls.cert_file', file: files.certFile, kind: 'chain' },
    { setting: 'mtls.ca_file', file: files.caFile, kind: 'authorities' },
  ];
}

function all(settings: Settings): readonly Certificate[] {
  const { admin, tlsCertFile, listener, drivers } = settings;
  return [
    ...mtls(settings),
    { setting: 'tls_cert_file', file: tlsCertFile, kind: 'chain' },
    { setting: 'admin.cert_file', file: admin.certFile, kind: 'chain' },
    { setting: 'listener.client_ca_file', file: listener.clientCaFile, kind: 'authorities' },
    { setting: 'drivers.tls.cert_file', file: drivers.tls.certFile, kind: 'chain' },
    { setting: 'drivers.tls.ca_file', file: drivers.tls.caFile, kind: 'authorities' },
  ];
}

async function validities(
  certificates: readonly Certificate[],
  read: (file: string) => Promise<string>,
): Promise<readonly Found[]> {
  const found: Found[] = [];
  for (const { setting, file = '', kind } of certificates) {
    const validity = await validityOf(kind, () => read(file));
    if (validity) found.push({ setting, validity });
  }
  return found;
}

async function validityOf(
  kind: Certificate['kind'],
  read: () => Promise<string>,
): Promise<Validity | undefined> {
  let pem: string;
  try {
    pem = await read();
  } catch {
    return undefined;
  }
  const certificates = [
    ...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g),
  ]
    .flatMap(([text]) => parsed(text))
    .toSorted((a, b) => a.notAfterMs - b.notAfterMs);
  return kind === 'chain' ? certificates[0] : certificates.at(-1);
}

function parsed(pem: string): Validity[] {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    return [{ notBeforeMs: Date.parse(validFrom), notAfterMs: Date.parse(validTo) }];
  } catch {
    return [];
  }
}
