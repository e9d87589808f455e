/** Types of settings that are more than plain text, beside those of src/lib/yaml. */
import { isIP, isIPv4 } from 'node:net';
import { resolve } from 'node:path';
import { matching, textType } from '../lib/yaml/text-types.js';
import { isLoopback, type SocketAddress, type TcpAddress } from '../model/address.js';

export interface Ipv4Range {
  /** The first address of the network. */
  readonly network: string;
  readonly prefixLength: number;
}

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names. */
export const resourceName = matching(
  'the name of a resource: lower-case letters, digits, "-" and "."',
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
);

export const tcpAddress = textType(
  'host:port, such as 0.0.0.0:15002, [::1]:15002 or gateway.example.com:15002',
  parseTcpAddress,
);

/** The same, which stays text. */
export const addressText = textType(tcpAddress.allowed, (text) =>
  parseTcpAddress(text) ? text : undefined,
);

export const socketAddress = textType<SocketAddress>(
  'host:port, or unix: and a path',
  (text, base) =>
    text.startsWith('unix:') ? parseUnixAddress(text.slice(5), base) : parseTcpAddress(text),
);

export const loopbackAddress = textType(
  'localhost, 127.x.x.x or [::1], and a port: it must not be reachable from elsewhere',
  (text) => {
    const address = parseTcpAddress(text);
    return address && isLoopback(address.host) ? address : undefined;
  },
);

export const loopbackRange = textType<Ipv4Range>(
  'a network within 127.0.0.0/8 of 8 to 65,536 addresses, such as 127.77.0.0/16',
  (text) => {
    const [network = '', prefix = ''] = text.split('/');
    if (!isIPv4(network) || !network.startsWith('127.') || !/^\d{1,2}$/.test(prefix)) {
      return undefined;
    }
    const prefixLength = Number(prefix);
    const bits = network.split('.').reduce((value, part) => value * 256 + Number(part), 0);
    const aligned = bits % 2 ** (32 - prefixLength) === 0;
    return prefixLength >= 16 && prefixLength <= 29 && aligned
      ? { network, prefixLength }
      : undefined;
  },
);

/** Where browsers find a page: what identifies them crosses the network, so it is https, or this machine. */
export const publicUrl = textType(
  'a URL without a path that starts with https://, or http:// for a loopback address',
  (text) => {
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (!parsed || parsed.href !== `${parsed.origin}/`) return undefined;
    const good = parsed.protocol === 'https:' || isLoopback(parsed.hostname);
    return good && /^https?:$/.test(parsed.protocol) ? parsed.origin : undefined;
  },
);

/** Where objects are kept, by the beginning of their URLs. */
export const objectUrl = textType(
  'a URL that starts with s3:// and a bucket, or file:/// and a path',
  (text) => {
    const good = /^(s3:\/\/[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]|file:\/\/)(\/[^\s?#%]*)?$/.test(text);
    if (!good || text === 'file://' || text.split('/').includes('..')) return undefined;
    return text.endsWith('/') ? text : `${text}/`;
  },
);

/** A page for people, by a job's namespace and id. */
export const jobUrl = textType(
  'a URL that starts with http:// or https:// and has {job_id} in it',
  (text) => {
    const url = text.replaceAll('{namespace}', 'a').replaceAll('{job_id}', 'b');
    return text.includes('{job_id}') && URL.canParse(url) && /^https?:/.test(url)
      ? text
      : undefined;
  },
);

/** A page for people, by the id of a Spark application. */
export const historyUrl = textType(
  'a URL that starts with http:// or https:// and has {application_id} in it',
  (text) => {
    const url = text.replace('{application_id}', 'app');
    return url !== text && URL.canParse(url) && /^https?:/.test(url) ? text : undefined;
  },
);

/** https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors. */
export const labelSelectors = textType<readonly string[]>(
  'label selectors of Kubernetes, separated by ";", such as spark-role=driver; app=spark',
  (text) => {
    const selectors = text.split(';').map((selector) => selector.trim());
    return selectors.every((selector) => /^[\w./!=, ()-]+$/.test(selector)) ? selectors : undefined;
  },
);

/** RFC 9110 section 5.1; lower case, as HTTP/2 sends it. Envoy drops headers with "_" (src/xds/resources/listener.ts). */
export const headerName = textType(
  'a header name in lower case, without "_", that does not start with x-spark- or :',
  (text) =>
    /^[a-z0-9!#$%&'*+.^`|~-]{1,128}$/.test(text) && !text.startsWith('x-spark-') ? text : undefined,
);

/** OTLP over gRPC has no path. */
export const otlpEndpoint = textType<TcpAddress & { readonly tls: boolean }>(
  'http:// or https://, a host and a port, such as http://otel-collector:4317',
  (text) => {
    const [, scheme, authority = ''] = /^(https?):\/\/([^/]+)\/?$/.exec(text) ?? [];
    const address = parseTcpAddress(authority);
    return address && { ...address, tls: scheme === 'https' };
  },
);

function parseTcpAddress(text: string): TcpAddress | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s/]+)):(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, bracketed, plain, portText] = match;
  const port = Number(portText);
  if (port > 65_535) return undefined;
  if (bracketed !== undefined) {
    return isIP(bracketed) === 6 ? { host: bracketed, port } : undefined;
  }
  const host = plain ?? '';
  const looksLikeIp = /^[\d.]+$/.test(host);
  const isName = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(host);
  return (looksLikeIp ? isIPv4(host) : isName) ? { host, port } : undefined;
}

function parseUnixAddress(path: string, base: string): SocketAddress | undefined {
  if (path === '' || path.includes('\0')) return undefined;
  const absolute = resolve(base, path);
  // sockaddr_un.sun_path holds 108 bytes with its end (unix(7)).
  return Buffer.byteLength(absolute) <= 107 ? { path: absolute } : undefined;
}

// Variants of local drivers: `spark.a=b; spark_home=/opt/spark-4.3`.

const SPARK_HOME = 'spark_home';

export interface LocalVariant {
  readonly name: string;
  /** Where it is another Spark than that of the other drivers. */
  readonly sparkHome?: string;
  readonly conf: Readonly<Record<string, string>>;
}

/** Stays text; `localVariants` reads it. */
export const variantConf = textType(
  'Spark configuration such as "spark.a=1; spark.b=2", with spark_home=<path> for another Spark',
  (written) => (parse(written) === undefined ? undefined : written),
);

/** Stays text; `sparkConfOf` reads it. */
export const sparkConfText = textType(
  'Spark configuration such as "spark.a=1; spark.b=2"',
  (written) => {
    const conf = parse(written);
    return conf === undefined || SPARK_HOME in conf ? undefined : written;
  },
);

export function sparkConfOf(written: string): Readonly<Record<string, string>> {
  return parse(written) ?? {};
}

export function localVariants(settings: {
  readonly drivers: { readonly local: { readonly variants: Readonly<Record<string, string>> } };
}): LocalVariant[] {
  return Object.entries(settings.drivers.local.variants).map(([name, written]) => {
    const { [SPARK_HOME]: sparkHome, ...conf } = parse(written) ?? {};
    return { name, ...(sparkHome === undefined ? {} : { sparkHome }), conf };
  });
}

function parse(written: string): Record<string, string> | undefined {
  const pairs = written.split(';').map((pair) => /^\s*(spark[\w.-]+)=(.*\S)\s*$/.exec(pair));
  const conf: Record<string, string> = {};
  for (const pair of pairs) {
    const [, key, value] = pair ?? [];
    if (key === undefined || value === undefined) return undefined;
    if (key !== SPARK_HOME && !key.startsWith('spark.')) return undefined;
    conf[key] = value;
  }
  return conf;
}
