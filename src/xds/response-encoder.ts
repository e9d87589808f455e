/**
 * Puts responses together from ready bytes. Streams that are to be sent the same get the same buffer,
 * nonce included: a nonce only has to be new to its stream.
 */
import type { Protocol } from './protocol.js';
import type { EncodedResource, TypeUrl } from './resource.js';
import type { Push } from './watch.js';

export interface EncodedResponse {
  readonly nonce: string;
  readonly bytes: Buffer;
}

interface Shared extends EncodedResponse {
  readonly serial: number;
}

/** Larger sets are shared only when they are everything that there is. */
const MAX_KEYED_RESOURCES = 16;

export class ResponseEncoder {
  #serial = 0;
  #revision = -1;
  readonly #shared = new Map<string, Shared>();

  /**
   * @param allOfType how many resources of the type the view holds, and their version.
   * @param lastNonce the newest nonce that the stream has seen for this type.
   * @param revision of the cache: what was made for an older one is dropped.
   */
  encode(
    protocol: Protocol,
    typeUrl: TypeUrl,
    push: Push,
    allOfType: { readonly size: number; readonly version: string },
    lastNonce: string,
    revision: number,
  ): EncodedResponse {
    if (revision !== this.#revision) {
      this.#shared.clear();
      this.#revision = revision;
    }
    const content = contentKey(push, allOfType);
    const key = content && `${protocol.name} ${typeUrl} ${push.version} ${content}`;
    const known = key === undefined ? undefined : this.#shared.get(key);
    if (known && known.serial > parseNonce(lastNonce)) return known;
    const serial = ++this.#serial;
    const nonce = serial.toString(36);
    const bytes = protocol.encode({
      typeUrl,
      version: push.version,
      nonce,
      resources: [...push.resources.map((resource) => field(protocol, resource)), ...push.kept],
      removed: push.removed,
    });
    const response = { serial, nonce, bytes };
    if (key !== undefined) this.#shared.set(key, response);
    return response;
  }
}

function field(protocol: Protocol, resource: EncodedResource): Buffer {
  return protocol.name === 'delta' ? resource.deltaField : resource.sotwField;
}

function parseNonce(nonce: string): number {
  return nonce === '' ? 0 : Number.parseInt(nonce, 36);
}

/** What the push holds, in a few bytes; undefined when that cannot be said. */
function contentKey(
  { resources, removed, kept }: Push,
  allOfType: { readonly size: number; readonly version: string },
): string | undefined {
  if (kept.length > 0) return undefined;
  const [first] = resources;
  if (first && resources.length === 1 && removed.length === 0) return first.version;
  if (removed.length === 0 && resources.length > 0 && resources.length === allOfType.size) {
    return `all ${allOfType.version}`;
  }
  if (resources.length + removed.length > MAX_KEYED_RESOURCES) return undefined;
  const versions = resources.map(({ version }) => version);
  return JSON.stringify([versions, removed]);
}
