/**
 * Follows one stream between an Envoy and a control plane and knows what the Envoy has: what it
 * acknowledged on this stream, and what it said that it had at the stream's beginning.
 */
import { bytesField } from '../../lib/protobuf/wire.js';
import { delta } from '../delta.js';
import { NameTable } from '../name-lists.js';
import { isTypeUrl, TypeUrl } from '../resource.js';
import { SubscribedNames } from '../subscriber-index.js';
import { Subscription, type SubscriptionChange } from '../subscription.js';
import { XdsWireReader } from '../xds-wire.js';

/** By type and name: everything that an Envoy subscribed to and acknowledged. */
export type Snapshot = ReadonlyMap<string, ReadonlyMap<string, KeptResource>>;

interface OfType {
  readonly subscription: Subscription;
  readonly held: Map<string, KeptResource>;
  /** Names that Envoy waits for, or whose content is to come again. */
  readonly awaited: Set<string>;
  /** Whether Envoy has got what the wildcard stands for. */
  answered: boolean;
}

type Answer = ReturnType<typeof readResponse>;

export class Recorder {
  readonly #before: Snapshot | undefined;
  readonly #names = new NameTable();
  readonly #types = new Map<TypeUrl, OfType>();
  /** Responses without an answer, by nonce. */
  readonly #unanswered = new Map<string, Answer>();

  /** @param before what was known of the Envoy when its last stream ended. */
  constructor(before: Snapshot | undefined) {
    this.#before = before;
  }

  /**
   * Takes in what Envoy sends. Returns what is to be passed on: the same bytes, unless Envoy has
   * resources whose content is not known here; it then asks for them again.
   * @throws RangeError when the bytes are no request.
   */
  request(bytes: Buffer): Buffer {
    const { typeUrl, nonce, rejection, names, known } = delta.decode(bytes, this.#names, []);
    if (!isTypeUrl(typeUrl) || names.kind !== 'changes' || known.kind !== 'each') return bytes;
    const answered = this.#unanswered.get(nonce);
    if (answered?.typeUrl === typeUrl) {
      this.#unanswered.delete(nonce);
      if (rejection) this.#reject(typeUrl, answered);
      else this.#accept(typeUrl, answered);
    }
    const first = !this.#types.has(typeUrl);
    const type = this.#type(typeUrl);
    const unknown = first ? this.#begin(typeUrl, type, known.versions) : NONE;
    const change = type.subscription.modify(names.subscribe, names.unsubscribe);
    for (const name of change.added) if (!type.held.has(name)) type.awaited.add(name);
    forget(type, change);
    return withoutInitialVersions(bytes, unknown);
  }

  /**
   * Takes in what the control plane sends.
   * @throws RangeError when the bytes are no response.
   */
  response(bytes: Buffer): void {
    const response = readResponse(bytes);
    this.#unanswered.set(response.nonce, response);
  }

  /** Everything that Envoy has, if it lacks nothing to start from; undefined in the middle of a change. */
  snapshot(): Snapshot | undefined {
    const complete =
      this.#types.has(TypeUrl.CLUSTER) &&
      (this.#types.get(TypeUrl.LISTENER)?.held.size ?? 0) > 0 &&
      [...this.#types.values()].every(
        ({ awaited, subscription, answered }) =>
          awaited.size === 0 && (answered || !subscription.wildcard),
      );
    if (!complete) return undefined;
    return new Map([...this.#types].map(([typeUrl, { held }]) => [typeUrl, new Map(held)]));
  }

  #type(typeUrl: TypeUrl): OfType {
    let type = this.#types.get(typeUrl);
    if (!type) {
      type = {
        subscription: new Subscription(typeUrl, new SubscribedNames(this.#names)),
        held: new Map(),
        awaited: new Set(),
        answered: false,
      };
      this.#types.set(typeUrl, type);
    }
    return type;
  }

  /** Returns the names of what Envoy has in a version that is not known here. */
  #begin(
    typeUrl: TypeUrl,
    { held, awaited }: OfType,
    versions: ReadonlyMap<string, string>,
  ): ReadonlySet<string> {
    const before = this.#before?.get(typeUrl);
    for (const [name, version] of versions) {
      const resource = before?.get(name);
      if (resource?.version === version) held.set(name, resource);
      else awaited.add(name);
    }
    this.#type(typeUrl).answered = held.size > 0;
    return new Set(awaited);
  }

  #accept(typeUrl: TypeUrl, { resources, removed }: Answer): void {
    const type = this.#type(typeUrl);
    type.answered = true;
    for (const resource of resources) {
      type.awaited.delete(resource.name);
      if (type.subscription.includes(resource.name)) type.held.set(resource.name, resource);
    }
    for (const name of removed) {
      type.awaited.delete(name);
      type.held.delete(name);
    }
  }

  /**
   * What comes alone and is rejected is not waited for: Envoy goes on without it, or with what it had.
   * Of several the control plane sends each again (../watch.ts).
   */
  #reject(typeUrl: TypeUrl, { resources, removed }: Answer): void {
    const type = this.#type(typeUrl);
    const names = [...resources.map(({ name }) => name), ...removed];
    if (names.length > 1) {
      for (const name of names) if (type.subscription.includes(name)) type.awaited.add(name);
      return;
    }
    type.answered = true;
    for (const name of names) type.awaited.delete(name);
  }
}

const NONE: ReadonlySet<string> = new Set();

function forget({ subscription, held, awaited }: OfType, change: SubscriptionChange): void {
  const left = change.wildcardEnded ? [...held.keys(), ...awaited] : change.removed;
  for (const name of left) {
    if (subscription.includes(name)) continue;
    held.delete(name);
    awaited.delete(name);
  }
}

// What the relay reads of incremental xDS beside requests (`../delta.ts`), and the one thing that it
// changes. https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/discovery/v3/discovery.proto

const REQUEST_INITIAL_VERSIONS = 5;
const MAP_KEY = 1;
const RESPONSE = { resources: 2, typeUrl: 4, nonce: 5, removed: 6 } as const;
const RESOURCE = { version: 1, name: 3 } as const;

/** A resource as Envoy acknowledged it. */
export interface KeptResource {
  readonly name: string;
  readonly version: string;
  /** The field `resources` of a DeltaDiscoveryResponse, tag and length included. */
  readonly field: Buffer;
}

export interface DeltaResponse {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly resources: readonly KeptResource[];
  readonly removed: readonly string[];
}

/** @throws RangeError when the bytes are no DeltaDiscoveryResponse. */
export function readResponse(bytes: Buffer): DeltaResponse {
  let typeUrl = '';
  let nonce = '';
  const resources: KeptResource[] = [];
  const removed: string[] = [];
  const reader = new XdsWireReader(bytes);
  while (reader.next()) {
    switch (reader.field) {
      case RESPONSE.typeUrl:
        typeUrl = reader.text();
        break;
      case RESPONSE.nonce:
        nonce = reader.text();
        break;
      case RESPONSE.removed:
        removed.push(reader.text());
        break;
      case RESPONSE.resources:
        resources.push(readResource(reader.content()));
        break;
    }
  }
  return { typeUrl, nonce, resources, removed };
}

function readResource(content: Buffer): KeptResource {
  let name = '';
  let version = '';
  const reader = new XdsWireReader(content);
  while (reader.next()) {
    if (reader.field === RESOURCE.name) name = reader.text();
    else if (reader.field === RESOURCE.version) version = reader.text();
  }
  // A copy: a slice would keep the whole response in memory.
  const field = bytesField(RESPONSE.resources, content);
  return { name, version, field };
}

/** The same DeltaDiscoveryRequest, in which the client does not claim to have these resources. */
function withoutInitialVersions(bytes: Buffer, names: ReadonlySet<string>): Buffer {
  if (names.size === 0) return bytes;
  const parts: Buffer[] = [];
  const reader = new XdsWireReader(bytes);
  while (reader.next()) {
    if (reader.field === REQUEST_INITIAL_VERSIONS && names.has(mapKey(reader.content()))) continue;
    parts.push(bytes.subarray(reader.tagStart, reader.end));
  }
  return Buffer.concat(parts);
}

function mapKey(entry: Buffer): string {
  const reader = new XdsWireReader(entry);
  let key = '';
  while (reader.next()) if (reader.field === MAP_KEY) key = reader.text();
  return key;
}
