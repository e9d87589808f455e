/** A hub with clients in memory: every message waits until the test delivers it. */
import { pino } from 'pino';
import type { GatewayError } from '../../src/model/errors.js';
import { ResourceCache } from '../../src/xds/resource-cache.js';
import { DiscoveryHub } from '../../src/xds/hub.js';
import type { TypeUrl, ViewOf } from '../../src/xds/resource.js';
import type { DiscoveryStream } from '../../src/xds/stream.js';
import { ManualClock } from './manual-clock.js';
import { XdsTally } from './xds-tally.js';
import { type ProtocolName, type ReceivedResponse, XdsClient } from './xds-client.js';

export const VIEW = 'edge';
export const DEBOUNCE = { quietMs: 5, maxMs: 50 };

export class HubHarness {
  readonly clock = new ManualClock();
  readonly cache = new ResourceCache();
  readonly tally = new XdsTally();
  readonly hub: DiscoveryHub;

  constructor(viewOf: ViewOf = () => ({ view: VIEW })) {
    const logger = pino({ level: 'silent' });
    this.hub = new DiscoveryHub({
      cache: this.cache,
      viewOf,
      logger,
      clock: this.clock,
      debounce: DEBOUNCE,
      metrics: this.tally,
    });
  }

  client(protocol: ProtocolName, nodeId?: string): HubClient {
    return new HubClient(this.hub, new XdsClient(protocol, nodeId));
  }

  /** A client of another hub, which now connects here, as to a control plane that was started again. */
  adopt(client: HubClient): HubClient {
    client.disconnect();
    return new HubClient(this.hub, client.xds);
  }

  /** Lets the debounce pass. */
  async settle(): Promise<void> {
    await this.clock.advance(DEBOUNCE.maxMs);
  }
}

export class HubClient {
  readonly xds: XdsClient;
  /** Sent by the server, not yet taken by the client. */
  readonly inbox: ReceivedResponse[] = [];
  readonly errors: GatewayError[] = [];
  /** What the sink answers to a write. */
  writable = true;
  readonly #hub: DiscoveryHub;
  #stream: DiscoveryStream | undefined;

  constructor(hub: DiscoveryHub, xds: XdsClient) {
    this.#hub = hub;
    this.xds = xds;
    this.connect();
  }

  /** A new aggregated stream; what was under way on the old one is lost. */
  connect(onlyType?: TypeUrl): void {
    this.disconnect();
    const stream = this.#hub.connect({
      protocol: this.xds.protocol,
      onlyType,
      peer: undefined,
      remoteAddress: '192.0.2.1:1',
      sink: {
        write: (bytes) => {
          this.inbox.push(this.xds.decode(bytes));
          return this.writable;
        },
        end: (error) => this.errors.push(error),
      },
    });
    this.#stream = stream;
    this.xds.connect((bytes) => stream.receive(bytes));
  }

  disconnect(): void {
    if (this.#stream) this.#hub.disconnect(this.#stream);
    this.#stream = undefined;
    this.inbox.length = 0;
  }

  drained(): void {
    this.writable = true;
    this.#stream?.drained();
  }

  /** Takes the oldest response, rejecting it if `error` is given. */
  takeOne(error?: string): ReceivedResponse {
    const response = this.inbox.shift();
    if (!response) throw new Error('the server has sent nothing');
    const named = new Set(response.resources.map(({ name }) => name));
    this.xds.take(response, error, error === undefined ? undefined : named);
    return response;
  }

  /** Takes all there is and all that follows from it. */
  takeAll(): ReceivedResponse[] {
    const taken: ReceivedResponse[] = [];
    while (this.inbox.length > 0) taken.push(this.takeOne());
    return taken;
  }
}

/** Short form of responses for comparisons: `CDS+a+b-c`. */
export function shortForm(responses: readonly ReceivedResponse[]): string[] {
  return responses.map(({ typeUrl, resources, removed }) => {
    const names = resources.map(({ name }) => `+${name}`).toSorted();
    return typeUrl.split('.').at(-1) + names.join('') + removed.map((name) => `-${name}`).join('');
  });
}
