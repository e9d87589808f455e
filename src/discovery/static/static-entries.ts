/**
 * The file of drivers that someone else runs:
 *
 * ```yaml
 * drivers:
 *   - name: etl-1              # a DNS label, unique in the file
 *     namespace: sjns-data-prod
 *     address: 10.1.2.3        # IPv4 or IPv6
 *     port: 15002              # optional
 *     token_file: etl-1.token  # optional: the driver's spark.connect.authenticate.token,
 *     token_env: ETL_1_TOKEN   #   from a file (relative to this one) or the environment
 *     fence: true              # optional: it has the driver fence, so that it may be shared by a team
 *     instance: 2              # optional: change it whenever the driver was restarted
 *     spark_version: 4.0.1     # optional; Spark 3.5 forgets sessions in silence, and is kept from it
 *     variant: spark-4.3       # optional: only for sessions of the policy's canary of this name
 * ```
 *
 * The gateway cannot see that such a driver was restarted, unless its token changed. A changed
 * `instance` says so: the sessions that were lost with its memory end, and it may serve another
 * principal than before.
 */
import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { isMap, isScalar, isSeq, LineCounter, parseDocument, type Node, type YAMLMap } from 'yaml';
import { SPARK_CONNECT_PORT } from '../../model/driver.js';
import { refuseSessionTtl } from '../../model/spark-forgets.js';

export interface StaticEntry {
  /** Follows from name, namespace, address and port: whoever changes one of them names another driver. */
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly port: number;
  readonly tokenFile: string | undefined;
  readonly tokenEnv: string | undefined;
  /** Whether who runs it has put the driver fence there. */
  readonly fence: boolean;
  /** Tells one run of the driver from the next, as far as whoever runs it says so; else empty. */
  readonly instance: string;
  readonly sparkVersion: string | undefined;
  readonly variant: string | undefined;
}

export interface StaticMistake {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export type StaticEntries =
  { readonly entries: readonly StaticEntry[] } | { readonly mistakes: readonly StaticMistake[] };

const DNS_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const KEYS = [
  'name',
  'namespace',
  'address',
  'port',
  'token_file',
  'token_env',
  'fence',
  'instance',
  'spark_version',
  'variant',
] as const;
type Key = (typeof KEYS)[number];

/**
 * Every entry, or every mistake: a file with a mistake is refused as a whole. `sessionTtlMs`: how long the gateway keeps
 * an idle session.
 */
export function parseStaticEntries(text: string, sessionTtlMs = 0): StaticEntries {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const mistakes: StaticMistake[] = document.errors.map((error) => ({
    line: lines.linePos(error.pos[0]).line,
    message: error.message,
  }));
  if (mistakes.length > 0) return { mistakes };
  const wrong = (node: unknown, message: string) => {
    const offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
    mistakes.push({ line: lines.linePos(offset).line, message });
  };

  const root = document.contents;
  const list = isMap(root) ? root.get('drivers', true) : undefined;
  if (!isMap(root) || !isSeq(list)) {
    wrong(root, 'The file must have a list "drivers" (it may be empty: "drivers: []").');
    return { mistakes };
  }
  for (const { key } of root.items) {
    if (textOf(key) !== 'drivers') wrong(key, `"${textOf(key)}" is unknown; only "drivers" is.`);
  }
  const entries: StaticEntry[] = [];
  const names = new Set<string>();
  const addresses = new Map<string, string>();
  for (const item of list.items) {
    const entry = isMap(item) ? readEntry(item, wrong, sessionTtlMs) : undefined;
    if (!isMap(item)) wrong(item, 'A driver is a map with name, namespace and address.');
    if (!entry) continue;
    const address = `${entry.address} port ${entry.port}`;
    const holder = addresses.get(address);
    if (names.has(entry.name)) wrong(item, `The name ${entry.name} is used twice.`);
    if (holder !== undefined)
      wrong(item, `${entry.name} has the address of ${holder}: ${address}.`);
    names.add(entry.name);
    addresses.set(address, entry.name);
    entries.push(entry);
  }
  return mistakes.length > 0 ? { mistakes } : { entries };
}

function readEntry(
  item: YAMLMap,
  wrong: (node: unknown, message: string) => void,
  sessionTtlMs: number,
): StaticEntry | undefined {
  let good = true;
  const refuse = (node: unknown, message: string) => {
    good = false;
    wrong(node, message);
  };
  for (const { key } of item.items) {
    if (!KEYS.some((known) => known === textOf(key))) {
      refuse(key, `"${textOf(key)}" is unknown; allowed are ${KEYS.join(', ')}.`);
    }
  }
  const field = (key: Key, allowed: RegExp | ((text: string) => boolean), expected: string) => {
    const node = item.get(key, true);
    const text = textOf(node);
    if (node === undefined || (isScalar(node) && node.value === null)) return undefined;
    const fits = typeof allowed === 'function' ? allowed(text) : allowed.test(text);
    if (!fits) refuse(node, `${key} is "${text}"; it must be ${expected}.`);
    return text;
  };
  const required = (value: string | undefined, key: Key) => {
    if (value === undefined) refuse(item, `${key} is missing.`);
    return value ?? '';
  };
  const label = 'a DNS label: a-z, 0-9 and "-", at most 63 characters';
  const name = required(field('name', DNS_LABEL, label), 'name');
  const namespace = required(field('namespace', DNS_LABEL, label), 'namespace');
  const given = required(
    field(
      'address',
      (text) => isIP(text) !== 0 && !text.includes('%'),
      'an IP address, not a host name, and without a zone',
    ),
    'address',
  );
  const port = Number(field('port', isPort, 'a port from 1 to 65535') ?? SPARK_CONNECT_PORT);
  const tokenFile = field('token_file', /./, 'a path');
  const tokenEnv = field('token_env', /^\w+$/, 'the name of an environment variable');
  const fence = field('fence', /^(true|false)$/, 'true or false');
  const instance = field(
    'instance',
    /^[\w.-]{1,64}$/,
    'up to 64 of A-Z, a-z, 0-9, "_", "." and "-"',
  );
  const variant = field(
    'variant',
    /^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$/,
    'a name of lower-case letters, digits, "." and "-"',
  );
  const sparkVersion = field('spark_version', /^\d+\.\d/, 'a version such as 4.0.1');
  const forgets = refuseSessionTtl(sparkVersion ?? '', sessionTtlMs);
  if (forgets !== undefined) refuse(item.get('spark_version', true), `${forgets}.`);
  if (tokenFile !== undefined && tokenEnv !== undefined) {
    refuse(item, 'token_file and token_env exclude each other.');
  }
  if (!good) return undefined;
  const address = isIP(given) === 6 ? new URL(`http://[${given}]`).hostname.slice(1, -1) : given;
  const place = [name, namespace, address, port];
  const identity = JSON.stringify(variant === undefined ? place : [...place, variant]);
  return {
    uid: `${name}-${createHash('sha256').update(identity).digest('hex').slice(0, 12)}`,
    name,
    namespace,
    address,
    port,
    tokenFile,
    tokenEnv,
    fence: fence === 'true',
    instance: instance ?? '',
    sparkVersion,
    variant,
  };
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) > 0 && Number(text) < 65_536;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'range' in value;
}

function textOf(node: unknown): string {
  return isScalar(node) ? String(node.value) : '';
}
