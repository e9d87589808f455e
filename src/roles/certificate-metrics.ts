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

/** Files are read when Prometheus asks. One that cannot be read, or holds no certificate, has no series. */
export function certificateMetrics(
  registry: Registry,
  role: 'control-plane' | 'authz',
  settings: Settings,
): void {
  const certificates = (role === 'authz' ? mtls(settings) : all(settings)).filter(
    ({ file }) => file !== undefined,
  );
  const gauge = (name: string, help: string, read: (validity: Validity) => number) =>
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: ['setting'],
        registers: [],
        async collect() {
          this.reset();
          for (const certificate of certificates) {
            const validity = await validityOf(certificate);
            if (validity) this.set({ setting: certificate.setting }, read(validity) / 1000);
          }
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

async function validityOf({ file = '', kind }: Certificate): Promise<Validity | undefined> {
  let pem: string;
  try {
    pem = await readFile(file, 'utf8');
  } catch {
    return undefined;
  }
  const found = [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)]
    .flatMap(([text]) => parsed(text))
    .toSorted((a, b) => a.notAfterMs - b.notAfterMs);
  return kind === 'chain' ? found[0] : found.at(-1);
}

function parsed(pem: string): Validity[] {
  try {
    const { validFrom, validTo } = new X509Certificate(pem);
    return [{ notBeforeMs: Date.parse(validFrom), notAfterMs: Date.parse(validTo) }];
  } catch {
    return [];
  }
}
