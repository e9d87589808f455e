/** The Runner's port: its services, health and reflection. */
import type { ServerCredentials } from '@grpc/grpc-js';
import { Health } from '#gen/health/v1/health_pb.js';
import { HealthService } from '../lib/grpc/health.js';
import { addReflection } from '../lib/grpc/reflection.js';
import { GrpcServer } from '../lib/grpc/grpc-server.js';
import { formatAddress, type TcpAddress } from '../model/address.js';
import type { Timer } from '../model/clock.js';
import { addRunnerServices, type RunnerOptions, runnerServices } from './services.js';

export interface RunnerServerOptions extends RunnerOptions {
  readonly address: TcpAddress;
  /** With a certificate for each caller, or in the clear. */
  readonly credentials: ServerCredentials;
}

export interface RunnerServer {
  readonly port: number;
  /** Whether it can do its work: health says the same. */
  readonly serving: boolean;
  close(): Promise<void>;
}

/** A manifest may have 1 MB, and a message has more than it. */
const MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** How often it is looked whether a control plane is connected. */
const LOOK_MS = 500;

/** Rejects with SETTINGS_INVALID when the address cannot be listened on. */
export async function startRunner(options: RunnerServerOptions): Promise<RunnerServer> {
  const { address, credentials, clock, controlPlane } = options;
  const grpc = new GrpcServer({
    name: 'runner.listen_addr',
    address: formatAddress(address),
    credentials,
    maxRequestBytes: MAX_REQUEST_BYTES,
    clock,
  });
  const health = new HealthService(runnerServices.map(({ typeName }) => typeName));
  addRunnerServices(grpc.server, options);
  health.addTo(grpc.server);
  addReflection(grpc.server, [...runnerServices, Health]);
  let timer: Timer | undefined;
  const look = () => {
    health.set(controlPlane.isConnected());
    timer = clock.setTimer(LOOK_MS, look);
  };
  const port = await grpc.listen();
  look();
  return {
    port,
    get serving() {
      return health.serving;
    },
    async close() {
      timer?.cancel();
      health.close();
      await grpc.close();
    },
  };
}
