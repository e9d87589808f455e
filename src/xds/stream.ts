/** One client's stream: for one type, or aggregated over all, in the order of PUSH_ORDER. */
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import { GatewayError } from '../model/errors.js';
import type { NodeStatus } from '../model/reports.js';
import type { PeerIdentity } from '../lib/grpc/tls.js';
import type { ResourceCache, ResourceChange } from './resource-cache.js';
import type { XdsMetrics } from './xds-metrics.js';
import type { DiscoveryRequest, Protocol } from './protocol.js';
import {
  isTypeUrl,
  PUSH_ORDER,
  type ResourceName,
  TypeUrl,
  decodeNode,
  type NodeInfo,
  type ViewOf,
} from './resource.js';
import type { ResponseEncoder } from './response-encoder.js';
import type { SubscriberIndex } from './subscriber-index.js';
import { type Part, Watch } from './watch.js';

/** The way back to the client. */
export interface ResponseSink {
  /** Sends one encoded response. False asks to wait for `DiscoveryStream.drained` before the next. */
  write(bytes: Buffer): boolean;
  end(error: GatewayError): void;
}

/** What all streams of a server share. */
export interface StreamContext {
  readonly cache: ResourceCache;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly viewOf: ViewOf;
  readonly index: SubscriberIndex<DiscoveryStream>;
  readonly encoder: ResponseEncoder;
  readonly metrics: XdsMetrics;
  /** A client answered, or changed what it wants. */
  readonly onAnswer: (node: NodeInfo, typeUrl: TypeUrl) => void;
}

export interface StreamOptions {
  readonly protocol: Protocol;
  /** The one type of the stream; undefined for an aggregated one. */
  readonly onlyType: TypeUrl | undefined;
  /** The client's verified certificate; undefined without TLS. */
  readonly peer: PeerIdentity | undefined;
  /** Where the client is, for people. */
  readonly remoteAddress: string;
  readonly sink: ResponseSink;
}

/**
 * These need not wait for one another: Envoy does not acknowledge clusters before it has their
 * endpoints and secrets. All other types wait for them.
 */
const NEVER_HELD: ReadonlySet<TypeUrl> = new Set([
  TypeUrl.CLUSTER,
  TypeUrl.ENDPOINTS,
  TypeUrl.SECRET,
]);
const NONE: ReadonlySet<string> = new Set();
/** Of these, one leads to every other: whoever has them names all clusters that it still uses. */
const NAMES_CLUSTERS: readonly TypeUrl[] = [TypeUrl.LISTENER, TypeUrl.ROUTE];
/** Envoy asks again for all its types in one burst; one that goes on without some of them is not waited for. */
const RETURN_MS = 1_000;

/** Told of in the log, for each stream. */
const MAX_UNSERVED_TYPES = 20;
/** Of what a node says of itself, which is kept and shown. */
const MAX_NODE_ID_LENGTH = 1_024;

export class DiscoveryStream {
  readonly #context: StreamContext;
  readonly #options: StreamOptions;
  readonly #connectedAtMs: number;
  readonly #watches = new Map<TypeUrl, Watch>();
  /** The same in the order of PUSH_ORDER. */
  #ordered: readonly Watch[] = [];
  /** Names to be sent when the client first asks for their type, as what needs them was sent. */
  readonly #owed = new Map<TypeUrl, Set<string>>();
  readonly #unservedTypes = new Set<string>();
  #identity: { readonly node: NodeInfo; readonly view: string } | undefined;
  #writable = true;
  #closed = false;
  /** Runs while a client that comes back has not asked again for all that it has. */
  #returning: Timer | undefined;

  constructor(context: StreamContext, options: StreamOptions) {
    this.#context = context;
    this.#options = options;
    this.#connectedAtMs = context.clock.now();
  }

  /** One request as it came. What cannot be served ends the stream. */
  receive(bytes: Buffer): void {
    if (this.#closed) return;
    try {
      this.#handle(this.#decode(bytes));
    } catch (thrown) {
      if (!(thrown instanceof GatewayError))
        this.#context.logger.error(thrown, 'xDS stream failed');
      this.close();
      this.#options.sink.end(
        thrown instanceof GatewayError
          ? thrown
          : new GatewayError('INTERNAL', 'The control plane failed to answer; see its log.'),
      );
    }
  }

  /** Takes note of a change to something that this stream subscribes to; sends nothing. */
  changed(change: ResourceChange, revision: number): void {
    this.#watches.get(change.typeUrl)?.changed(change, revision);
  }

  /** The sink takes more again. */
  drained(): void {
    this.#writable = true;
    this.flush();
  }

  /**
   * Sends what there is to send, in order, as far as the client has answered what it was sent before:
   * first what is new or changed, then, once nothing of that is left, what is gone.
   */
  flush(): void {
    const watches = this.#ordered;
    const returning = this.#returning !== undefined;
    // Order matters between types only.
    const several = returning || watches.filter((watch) => watch.isDirty('all')).length > 1;
    const part = several ? 'upserts' : 'all';
    let unsent = false;
    for (const watch of watches) {
      if (!watch.isDirty(part)) continue;
      if (unsent && !NEVER_HELD.has(watch.typeUrl)) return;
      if (!this.#send(watch, part)) unsent = true;
    }
    if (unsent || returning) return;
    for (const watch of watches.toReversed()) {
      if (watch.isDirty('removals') && !this.#send(watch, 'removals')) return;
    }
  }

  /** Forgets the stream; the sink is the caller's to end. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#hasReturned();
    if (!this.#identity) return;
    const { index } = this.#context;
    const { view, node } = this.#identity;
    for (const { typeUrl, subscription } of this.#watches.values()) {
      subscription.names.clear();
      index.removeWildcard(view, typeUrl, this);
    }
    for (const typeUrl of this.#watches.keys()) this.#context.onAnswer(node, typeUrl);
  }

  /** Every change to this resource up to the returned revision is acknowledged. */
  acknowledgedRevision(typeUrl: TypeUrl, name: string): number | undefined {
    return this.#watches.get(typeUrl)?.acknowledgedRevision(name);
  }

  /** Undefined until the client has said who it is, and after the end. */
  status(): NodeStatus | undefined {
    if (!this.#identity || this.#closed) return undefined;
    const { node, view } = this.#identity;
    return {
      id: node.id,
      cluster: node.cluster,
      view,
      remoteAddress: this.#options.remoteAddress,
      protocol: this.#options.protocol.name,
      aggregated: this.#options.onlyType === undefined,
      connectedAtMs: this.#connectedAtMs,
      types: this.#ordered.map((watch) => ({
        typeUrl: watch.typeUrl,
        state: watch.state,
        version: watch.acknowledgedVersion,
        lastAckMs: watch.lastAckMs,
        wildcard: watch.subscription.wildcard,
        names: watch.subscription.names.size,
        error: watch.rejection?.message,
      })),
    };
  }

  #decode(bytes: Buffer): DiscoveryRequest {
    const { table } = this.#context.index;
    const recent = this.#ordered.map(({ subscription }) => subscription.names.list);
    try {
      return this.#options.protocol.decode(bytes, table, recent);
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause;
      throw invalid('The discovery request cannot be read.', cause);
    }
  }

  #handle(request: DiscoveryRequest): void {
    const identity = (this.#identity ??= this.#identify(request));
    const typeUrl = this.#typeOf(request);
    if (!typeUrl) return;
    const { clock, metrics, index, logger } = this.#context;
    const { view, node } = identity;
    const watch = this.#watches.get(typeUrl) ?? this.#startWatch(typeUrl, view);
    const first = !watch.started;

    const answer = watch.answer(request, clock.now());
    if (answer.kind === 'stale') return;
    this.#followReturn(request, first, answer.kind === 'ack' || answer.kind === 'nack');
    if (answer.kind === 'ack') metrics.acknowledged(typeUrl, answer.afterMs);
    if (answer.kind === 'nack') {
      metrics.rejected(typeUrl);
      logger.warn(
        { node: node.id, view, typeUrl, code: answer.rejection.code },
        `Envoy rejected a configuration and keeps its last good one: ${answer.rejection.message}`,
      );
    }
    const change = watch.subscribe(request, this.#owed.get(typeUrl) ?? NONE);
    this.#owed.delete(typeUrl);
    if (change.wildcardEnded) index.removeWildcard(view, typeUrl, this);
    if (change.wildcardAsked) index.addWildcard(view, typeUrl, this);
    this.flush();
    this.#context.onAnswer(node, typeUrl);
  }

  /**
   * A client that comes back has asked for its clusters before it asks for the routes to them: what is
   * gone is held back until it has asked for all, so that no route is left that leads nowhere.
   */
  #followReturn(request: DiscoveryRequest, first: boolean, answers: boolean): void {
    const { known } = request;
    const knows = known.kind === 'whole' ? known.version !== '' : known.versions.size > 0;
    const all = NAMES_CLUSTERS.every((typeUrl) => this.#watches.has(typeUrl));
    // Whoever answers has sent all its first requests.
    if (answers || all) this.#hasReturned();
    else if (first && (knows || this.#returning) && this.#options.onlyType === undefined) {
      this.#returning?.cancel();
      this.#returning = this.#context.clock.setTimer(RETURN_MS, () => {
        this.#hasReturned();
        this.flush();
      });
    }
  }

  #hasReturned(): void {
    this.#returning?.cancel();
    this.#returning = undefined;
  }

  #identify(request: DiscoveryRequest): { node: NodeInfo; view: string } {
    let node: NodeInfo | undefined;
    try {
      node = request.node && decodeNode(request.node);
    } catch (cause) {
      throw invalid('The node of the discovery request cannot be read.', cause);
    }
    if (!node || node.id === '') {
      throw invalid('The first discovery request of a stream must name its node: set node.id.');
    }
    if (node.id.length > MAX_NODE_ID_LENGTH) {
      throw invalid(`node.id is longer than ${MAX_NODE_ID_LENGTH} characters.`);
    }
    const decision = this.#context.viewOf(this.#options.peer, node);
    if ('refused' in decision) {
      this.#context.logger.warn(
        { node: node.id, remoteAddress: this.#options.remoteAddress, peer: this.#options.peer },
        `xDS client refused: ${decision.refused}`,
      );
      throw new GatewayError('XDS_NODE_REFUSED', decision.refused);
    }
    return { node, view: decision.view };
  }

  /** Undefined for a type that is not served here: nothing is ever sent for it. */
  #typeOf(request: DiscoveryRequest): TypeUrl | undefined {
    const { onlyType } = this.#options;
    const typeUrl = request.typeUrl === '' ? onlyType : request.typeUrl;
    if (typeUrl === undefined) throw invalid('An aggregated discovery request needs a type_url.');
    if (onlyType !== undefined && typeUrl !== onlyType) {
      throw invalid(`This service is for ${onlyType}, not for ${typeUrl}.`);
    }
    if (isTypeUrl(typeUrl)) return typeUrl;
    if (!this.#unservedTypes.has(typeUrl) && this.#unservedTypes.size < MAX_UNSERVED_TYPES) {
      this.#unservedTypes.add(typeUrl);
      this.#context.logger.warn(
        { node: this.#identity?.node.id, typeUrl },
        'xDS type is not served',
      );
    }
    return undefined;
  }

  #startWatch(typeUrl: TypeUrl, view: string): Watch {
    const { cache, index } = this.#context;
    const names = index.subscriber(view, typeUrl, this);
    const watch = new Watch(typeUrl, view, this.#options.protocol, cache, names);
    this.#watches.set(typeUrl, watch);
    this.#ordered = PUSH_ORDER.flatMap((known) => this.#watches.get(known) ?? []);
    return watch;
  }

  /** False when the client has to do something first. */
  #send(watch: Watch, part: Part): boolean {
    if (this.#closed || !this.#identity || !this.#writable || watch.awaitsAnswer) return false;
    const { cache, clock, encoder, metrics } = this.#context;
    const { typeUrl } = watch;
    const { view } = this.#identity;
    const { push, names } = watch.take(part);
    const { nonce, bytes } = encoder.encode(
      this.#options.protocol,
      typeUrl,
      push,
      { size: cache.resources(view, typeUrl).size, version: cache.version(view, typeUrl) },
      watch.lastNonce,
      cache.revision,
    );
    watch.sent(nonce, push.version, names, clock.now());
    for (const resource of push.resources) {
      if (resource.warmedBy && names.has(resource.name)) this.#warm(resource.warmedBy);
    }
    metrics.pushed(typeUrl, bytes.length);
    this.#writable = this.#options.sink.write(bytes);
    return true;
  }

  #warm({ typeUrl, name }: ResourceName): void {
    const watch = this.#watches.get(typeUrl);
    if (watch) {
      watch.warm(name);
      return;
    }
    const owed = this.#owed.get(typeUrl);
    if (owed) owed.add(name);
    else this.#owed.set(typeUrl, new Set([name]));
  }
}

function invalid(message: string, cause?: unknown): GatewayError {
  return new GatewayError('XDS_REQUEST_INVALID', message, cause === undefined ? {} : { cause });
}
