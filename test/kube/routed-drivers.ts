/** What an Envoy of one replica is told of a namespace's drivers; it acknowledges all of it. */
import { fromBinary } from '@bufbuild/protobuf';
import type { LbEndpoint } from '#gen/envoy/config/endpoint/v3/endpoint_components_pb.js';
import { ClusterLoadAssignmentSchema } from '#gen/envoy/config/endpoint/v3/endpoint_pb.js';
import { clusterName } from '../../src/model/names.js';
import { TypeUrl } from '../../src/xds/resource.js';
import { SocketClient } from '../support/xds-socket.js';
import type { ControlPlane } from './control-plane.js';

export class RoutedDrivers {
  /** Addresses that were routable and then were not. */
  readonly withdrawn: string[] = [];
  readonly #socket: SocketClient;
  readonly #cluster: string;
  #addresses: ReadonlySet<string> = new Set();
  #waiters: (() => void)[] = [];

  constructor({ xds }: ControlPlane, namespace: string) {
    this.#cluster = clusterName(namespace);
    this.#socket = new SocketClient(xds, { protocol: 'delta' });
    this.#socket.xds.subscribe(TypeUrl.CLUSTER, ['*']);
    this.#socket.xds.subscribe(TypeUrl.ENDPOINTS, [this.#cluster]);
    // Ends with the stream.
    void this.#take().catch(() => undefined);
  }

  /** Resolves when all of these have been routable. */
  async shows(addresses: readonly string[]): Promise<void> {
    while (addresses.some((address) => !this.#addresses.has(address))) {
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  close(): void {
    this.#socket.close();
  }

  async #take(): Promise<void> {
    for (;;) {
      this.#socket.xds.take(await this.#socket.next());
      const resource = this.#socket.xds.resources(TypeUrl.ENDPOINTS).get(this.#cluster);
      const { endpoints } = fromBinary(
        ClusterLoadAssignmentSchema,
        resource?.value ?? new Uint8Array(),
      );
      const now = new Set(endpoints.flatMap(({ lbEndpoints }) => lbEndpoints.map(addressOf)));
      for (const address of this.#addresses) if (!now.has(address)) this.withdrawn.push(address);
      this.#addresses = now;
      for (const resolve of this.#waiters.splice(0)) resolve();
    }
  }
}

function addressOf({ hostIdentifier }: LbEndpoint): string {
  const endpoint = hostIdentifier.case === 'endpoint' ? hostIdentifier.value : undefined;
  const address = endpoint?.address?.address;
  return address?.case === 'socketAddress' ? address.value.address : '';
}
