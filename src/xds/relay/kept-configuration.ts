/** The last complete configuration of the Envoy beside this process: in memory and in a file. */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { readIfThere, removeUnfinished, replaceFile } from '../../lib/files/files.js';
import type { Clock, Timer } from '../../model/clock.js';
import { reasonOf } from '../../model/errors.js';
import { delta } from '../delta.js';
import { NameTable } from '../name-lists.js';
import { isTypeUrl, type TypeUrl } from '../resource.js';
import { SubscribedNames } from '../subscriber-index.js';
import { Subscription } from '../subscription.js';
import { lengthDelimited, XdsWireReader } from '../xds-wire.js';
import { type KeptResource, readResponse, type Snapshot } from './recorder.js';

export interface KeptConfigurationOptions {
  /** Its folder exists. The file holds private keys: it is for its owner's eyes only. */
  readonly file: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Changes that come within this time are written together. */
const WRITE_AFTER_MS = 1_000;
/** A larger configuration is kept in memory only; 5,000 drivers in 1,000 namespaces are below 2 MiB. */
const MAX_FILE_BYTES = 64 * 1024 * 1024;

export class KeptConfiguration {
  readonly #options: KeptConfigurationOptions;
  #snapshot: Snapshot | undefined;
  #timer: Timer | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: KeptConfigurationOptions, snapshot: Snapshot | undefined) {
    this.#options = options;
    this.#snapshot = snapshot;
  }

  /** A file that is missing or cannot be used counts as none. */
  static async open(options: KeptConfigurationOptions): Promise<KeptConfiguration> {
    return new KeptConfiguration(options, await readKept(options));
  }

  /** Undefined while no Envoy has had a complete configuration. */
  get snapshot(): Snapshot | undefined {
    return this.#snapshot;
  }

  /** Takes the configuration that `read` gives, a moment from now; undefined leaves what is kept. */
  keepSoon(read: () => Snapshot | undefined): void {
    this.#timer ??= this.#options.clock.setTimer(WRITE_AFTER_MS, () => {
      this.#timer = undefined;
      this.keep(read());
    });
  }

  /** Takes a configuration now and writes it in the background; undefined leaves what is kept. */
  keep(snapshot: Snapshot | undefined): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (!snapshot) return;
    this.#snapshot = snapshot;
    this.#writing = this.#writing.then(async () => {
      if (this.#snapshot === snapshot) await this.#write(snapshot);
    });
  }

  /** Resolves when what is kept is on disk. */
  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#writing;
  }

  async #write(snapshot: Snapshot): Promise<void> {
    const { file, logger } = this.#options;
    const bytes = encodeSnapshot(snapshot);
    if (bytes.length > MAX_FILE_BYTES) {
      logger.error({ bytes: bytes.length }, "Envoy's configuration is too large to be kept");
      return;
    }
    try {
      await removeUnfinished(file);
      await replaceFile(file, bytes);
    } catch (error) {
      logger.error({ err: error, file }, "Envoy's configuration cannot be kept for its next start");
    }
  }
}

async function readKept({ file, logger }: KeptConfigurationOptions): Promise<Snapshot | undefined> {
  try {
    const bytes = await readIfThere(file);
    return bytes && decodeSnapshot(bytes);
  } catch (error) {
    logger.warn({ file, reason: reasonOf(error) }, "Envoy's kept configuration cannot be used");
    return undefined;
  }
}

// A complete configuration of an Envoy, and its form on disk.

/** Names the format; another one is not read. */
const MAGIC = Buffer.from('spark-gateway envoy configuration 1\n');
const DIGEST_BYTES = 32;

// The body is a message whose field 1 holds a DeltaDiscoveryResponse for each type.
const RESPONSES = 1;
const RESPONSE_TYPE_URL = 4;

export function encodeSnapshot(snapshot: Snapshot): Buffer {
  const responses = [...snapshot].map(([typeUrl, resources]) =>
    lengthDelimited(
      RESPONSES,
      Buffer.concat([
        lengthDelimited(RESPONSE_TYPE_URL, typeUrl),
        ...[...resources.values()].map(({ field }) => field),
      ]),
    ),
  );
  const body = Buffer.concat(responses);
  return Buffer.concat([MAGIC, digest(body), body]);
}

/** @throws RangeError when the bytes were not written by `encodeSnapshot`, or are damaged. */
export function decodeSnapshot(bytes: Buffer): Snapshot {
  const body = bytes.subarray(MAGIC.length + DIGEST_BYTES);
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new RangeError('it is of another format');
  }
  if (!bytes.subarray(MAGIC.length, MAGIC.length + DIGEST_BYTES).equals(digest(body))) {
    throw new RangeError('it is damaged');
  }
  const snapshot = new Map<string, ReadonlyMap<string, KeptResource>>();
  const reader = new XdsWireReader(body);
  while (reader.next()) {
    const { typeUrl, resources } = readResponse(reader.content());
    snapshot.set(typeUrl, new Map(resources.map((resource) => [resource.name, resource])));
  }
  return snapshot;
}

function digest(body: Buffer): Buffer {
  return createHash('sha256').update(body).digest();
}

// Answers one Envoy from a kept configuration while no control plane does. It only fills in: what
// Envoy says that it has is newer than, or the same as, what was kept, and is never replaced or removed.

interface OfType {
  readonly subscription: Subscription;
  /** Names that Envoy had when the stream began. */
  readonly known: ReadonlyMap<string, string>;
}

export class KeptAnswers {
  readonly #snapshot: Snapshot;
  readonly #names = new NameTable();
  readonly #types = new Map<TypeUrl, OfType>();
  #nonce = 0;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
  }

  /**
   * The answer to a request; undefined when it asks for nothing.
   * @throws RangeError when the bytes are no request.
   */
  answer(bytes: Buffer): Buffer | undefined {
    const { typeUrl, names, known } = delta.decode(bytes, this.#names, []);
    if (!isTypeUrl(typeUrl) || names.kind !== 'changes' || known.kind !== 'each') return undefined;
    const type = this.#types.get(typeUrl) ?? {
      subscription: new Subscription(typeUrl, new SubscribedNames(this.#names)),
      known: known.versions,
    };
    this.#types.set(typeUrl, type);
    const change = type.subscription.modify(names.subscribe, names.unsubscribe);
    const kept = this.#snapshot.get(typeUrl) ?? new Map<string, never>();
    const asked = new Set(change.asked);
    if (change.wildcardAsked) for (const name of kept.keys()) asked.add(name);
    const wanted = [...asked].filter((name) => !type.known.has(name));
    // A new client waits for an answer even if there is nothing to send.
    const due = change.wildcardAsked && type.known.size === 0;
    if (wanted.length === 0 && !due) return undefined;
    return delta.encode({
      typeUrl,
      version: 'kept',
      nonce: String(++this.#nonce),
      resources: wanted.flatMap((name) => kept.get(name)?.field ?? []),
      removed: wanted.filter((name) => !kept.has(name)),
    });
  }
}
