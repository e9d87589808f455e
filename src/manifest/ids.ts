/** Names of jobs, of their namespaces, and of what Kubernetes keeps of them. */
import { createHash, randomBytes } from 'node:crypto';

/** What a job's id is made of. */
export interface JobKey {
  readonly user: string;
  readonly team: string;
  readonly environment: string;
  /** undefined: a job of its own. */
  readonly clientRequestId: string | undefined;
}

const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567';
const ID_CHARACTERS = 26;

/** `job-` and 26 characters of base32: a DNS-1035 label (RFC 1035) of 30. The same key gives the same id. */
export function jobIdOf({ clientRequestId, environment, team, user }: JobKey): string {
  const request =
    clientRequestId === undefined
      ? ['random', randomBytes(16).toString('hex')]
      : ['request', clientRequestId];
  return `job-${base32(digest('job', user, team, environment, ...request), ID_CHARACTERS)}`;
}

export function isJobId(text: string): boolean {
  return /^job-[a-z2-7]{26}$/.test(text);
}

export interface NamespaceKey {
  readonly user: string;
  readonly team: string;
  readonly environment: string;
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const LONGEST_LABEL = 63;
/** Stands in no name that is used as it is: what has one was made here. */
const MARK = '--';

/**
 * A namespace (RFC 1123 label). Two pairs of a team and an environment never share one, and none is a
 * person's: names that could not be used as they are, or not without doubt, get a hash.
 */
export function namespaceOf({ environment, team, user }: NamespaceKey): string {
  if (environment === 'local') {
    return `sjns-playground-local-${createHash('sha256').update(user).digest('hex').slice(0, 10)}`;
  }
  if (environment === 'test') return 'sjns-playground-test';
  const plain = `sjns-${team}-${environment}`;
  const isPlain =
    LABEL.test(team) &&
    /^[a-z0-9]+$/.test(environment) &&
    plain.length <= LONGEST_LABEL &&
    !plain.includes(MARK) &&
    !/^playground(-|$)/.test(team);
  if (isPlain) return plain;
  const hash = base32(digest('namespace', team, environment), 16);
  const end = slug(environment, 12);
  return `sjns-${slug(team, LONGEST_LABEL - 25 - end.length)}${MARK}${hash}-${end}`;
}

/**
 * The value of a label for any text, such as a team, a job's name or an e-mail address
 * (https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set):
 * the text itself where that is legal, else what is legal of it, with a hash.
 */
export function labelValueOf(text: string): string {
  if (/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/.test(text) && !text.includes(MARK)) {
    return text;
  }
  const legal = text
    .slice(0, 200)
    .replaceAll(/[^A-Za-z0-9_.]+/g, '-')
    .replaceAll(/^[-_.]+|[-_.]+$/g, '')
    .slice(0, 44);
  return `${legal === '' ? 'x' : legal}${MARK}${base32(digest('label', text), 16)}`;
}

/** The characters of a text that a DNS label can hold; `x` if there are none. */
function slug(text: string, most: number): string {
  const legal = text
    .slice(0, 200)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '')
    .slice(0, most)
    .replace(/-+$/, '');
  return legal === '' ? 'x' : legal;
}

/** Each part with its length before it, so that no two lists of parts are one text. */
function digest(...parts: readonly string[]): Buffer {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = Buffer.from(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest();
}

function base32(bytes: Buffer, characters: number): string {
  let bits = 0n;
  for (const byte of bytes) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let at = 0; at < characters; at++) {
    text += BASE32[Number((bits >> BigInt(bytes.length * 8 - 5 * (at + 1))) & 31n)];
  }
  return text;
}
