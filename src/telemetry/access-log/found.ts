/** What authz says of a request in the metadata of its entry (`AccessMetadata`). */
import { isObject } from '../../model/json.js';
import { AccessMetadata } from '../../model/names.js';
import { recent } from '../../lib/recent.js';
import type { AccessRecord } from './access-record.js';

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

export type Found = Pick<
  Mutable<AccessRecord>,
  | 'session'
  | 'principal'
  | 'issuer'
  | 'team'
  | 'environment'
  | 'namespace'
  | 'driver'
  | 'claimedUser'
  | 'comesBack'
  | 'refusal'
>;

/** Packed texts: each is one of a session. */
const REMEMBERED = 10_000;

/** Packed metadata. All requests of a session say the same, so that each text is unpacked once. */
export class PackedMetadata {
  readonly #known = recent<string, Found>(REMEMBERED);

  /** Sets all that is found; nothing, of a text that is not packed as authz does it. */
  read(into: Found, text: string): void {
    let found = this.#known.get(text);
    if (found === undefined) this.#known.set(text, (found = unpack(text)));
    setAll(into, found);
  }
}

/** One of those that are not packed. */
export function setFound(record: Found, key: string, value: string): void {
  switch (key) {
    case AccessMetadata.session:
      record.session = value;
      break;
    case AccessMetadata.principal:
      record.principal = value;
      break;
    case AccessMetadata.issuer:
      record.issuer = value;
      break;
    case AccessMetadata.team:
      record.team = value;
      break;
    case AccessMetadata.environment:
      record.environment = value;
      break;
    case AccessMetadata.namespace:
      record.namespace = value;
      break;
    case AccessMetadata.driver:
      record.driver = value;
      break;
    case AccessMetadata.claimedUser:
      record.claimedUser = value;
      break;
    case AccessMetadata.comesBack:
      record.comesBack = value === 'true' ? true : undefined;
      break;
    case AccessMetadata.refusal:
      record.refusal = value;
      break;
  }
}

function unpack(text: string): Found {
  const found = nothingFound();
  let values: unknown;
  try {
    values = JSON.parse(Buffer.from(text, 'base64').toString());
  } catch {
    return found;
  }
  if (!isObject(values)) return found;
  for (const [key, value] of Object.entries(values)) {
    if (typeof value === 'string' && value !== '') setFound(found, key, value);
  }
  return found;
}

function setAll(record: Found, found: Found): void {
  record.session = found.session;
  record.principal = found.principal;
  record.issuer = found.issuer;
  record.team = found.team;
  record.environment = found.environment;
  record.namespace = found.namespace;
  record.driver = found.driver;
  record.claimedUser = found.claimedUser;
  record.comesBack = found.comesBack;
  record.refusal = found.refusal;
}

function nothingFound(): Found {
  return {
    session: undefined,
    principal: undefined,
    issuer: undefined,
    team: undefined,
    environment: undefined,
    namespace: undefined,
    driver: undefined,
    claimedUser: undefined,
    comesBack: undefined,
    refusal: undefined,
  };
}
