/**
 * Joins the cache with the streams: a change goes to the streams that subscribe to it and to no
 * other, once for a burst of changes. Knows nothing of gRPC.
 */
import type { Logger } from 'pino';
import { type Clock, systemClock, type Timer } from '../model/clock.js';
import type { NodeStatus } from '../model/reports.js';
import type { ResourceCache, ViewChange } from './resource-cache.js';
import { delta } from './delta.js';
import { noXdsMetrics, type XdsMetrics } from './xds-metrics.js';
import type { Protocol } from './protocol.js';
import type { TypeUrl, NodeInfo, ViewOf } from './resource.js';
import { ResponseEncoder } from './response-encoder.js';
import { sotw } from './sotw.js';
import { DiscoveryStream, type StreamContext, type StreamOptions } from './stream.js';
import { SubscriberIndex } from './subscriber-index.js';

export interface HubOptions {
  readonly cache: ResourceCache;
  readonly viewOf: ViewOf;
  readonly logger: Logger;
  readonly clock?: Clock;
  /** Puts changes that come close together into one push; 5 ms, at most 50 ms, by default. */
  readonly debounce?: DebounceOptions;
  readonly metrics?: XdsMetrics;
}

/** A client answered or asked something about a type, or its stream ended. */
export type AnswerListener = (node: NodeInfo, typeUrl: TypeUrl) => void;

export interface ConnectOptions extends Omit<StreamOptions, 'protocol'> {
  readonly protocol: Protocol['name'];
}

export class DiscoveryHub {
  readonly #cache: ResourceCache;
  readonly #context: StreamContext;
  readonly #protocols: Record<Protocol['name'], Protocol> = { delta, sotw };
  readonly #index = new SubscriberIndex<DiscoveryStream>();
  readonly #streams = new Set<DiscoveryStream>();
  readonly #listeners = new Set<AnswerListener>();
  /** Streams to be flushed after the debounce. */
  readonly #changed = new Set<DiscoveryStream>();
  readonly #push: Debounce;
  readonly #stopListening: () => void;

  constructor(options: HubOptions) {
    const { cache, viewOf, logger, clock = systemClock } = options;
    this.#cache = cache;
    this.#context = {
      cache,
      viewOf,
      logger,
      clock,
      index: this.#index,
      encoder: new ResponseEncoder(),
      metrics: options.metrics ?? noXdsMetrics,
      onAnswer: (node, typeUrl) => {
        for (const listener of this.#listeners) listener(node, typeUrl);
      },
    };
    this.#push = new Debounce(clock, options.debounce ?? { quietMs: 5, maxMs: 50 }, () => {
      this.#flush();
    });
    this.#stopListening = cache.onChange((change) => {
      this.#onChange(change);
    });
  }

  /** A new stream; the caller tells it of requests and of its end. */
  connect(options: ConnectOptions): DiscoveryStream {
    const protocol = this.#protocols[options.protocol];
    const stream = new DiscoveryStream(this.#context, { ...options, protocol });
    this.#streams.add(stream);
    return stream;
  }

  disconnect(stream: DiscoveryStream): void {
    this.#streams.delete(stream);
    this.#changed.delete(stream);
    stream.close();
  }

  /** All streams whose client has said who it is. */
  nodes(): NodeStatus[] {
    return [...this.#streams].flatMap((stream) => stream.status() ?? []);
  }

  /**
   * The revision up to which every connected subscriber of a resource, in whatever view, has
   * acknowledged its changes. The cache's revision when nobody subscribes. State-of-the-world cannot
   * tell of the removal of anything but clusters and listeners: there it counts as acknowledged.
   */
  minAcknowledgedRevision(typeUrl: TypeUrl, name: string): number {
    let least = this.#cache.revision;
    for (const view of this.#index.views()) {
      this.#index.visit(view, typeUrl, name, (stream) => {
        least = Math.min(least, stream.acknowledgedRevision(typeUrl, name) ?? least);
      });
    }
    return least;
  }

  /** Calls `listener` whenever `minAcknowledgedRevision` or `nodes` may have changed. Returns a function that ends it. */
  onAck(listener: AnswerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Stops pushing changes. */
  close(): void {
    this.#stopListening();
    this.#push.cancel();
  }

  #onChange({ view, revision, changes }: ViewChange): void {
    for (const change of changes) {
      this.#index.visit(view, change.typeUrl, change.name, (stream) => {
        stream.changed(change, revision);
        this.#changed.add(stream);
      });
    }
    if (this.#changed.size > 0) this.#push.call();
  }

  #flush(): void {
    const streams = [...this.#changed];
    this.#changed.clear();
    for (const stream of streams) stream.flush();
  }
}

interface DebounceOptions {
  /** How long it must have been quiet, milliseconds. */
  readonly quietMs: number;
  /** The longest delay after the first call, however many follow, milliseconds. */
  readonly maxMs: number;
}

/** Puts a burst of calls together into one. */
class Debounce {
  readonly #clock: Clock;
  readonly #options: DebounceOptions;
  readonly #action: () => void;
  #timer: Timer | undefined;
  #latestMs = 0;

  constructor(clock: Clock, options: DebounceOptions, action: () => void) {
    this.#clock = clock;
    this.#options = options;
    this.#action = action;
  }

  call(): void {
    const now = this.#clock.now();
    if (this.#timer) this.#timer.cancel();
    else this.#latestMs = now + this.#options.maxMs;
    this.#timer = this.#clock.setTimer(
      Math.min(this.#options.quietMs, this.#latestMs - now),
      () => {
        this.#timer = undefined;
        this.#action();
      },
    );
  }

  cancel(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }
}
