/** grpc.health.v1.Health (https://github.com/grpc/grpc/blob/master/doc/health-checking.md): whether a server can do its work. */
import { create } from '@bufbuild/protobuf';
import {
  type sendUnaryData,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  status,
} from '@grpc/grpc-js';
import {
  Health,
  HealthCheckResponse_ServingStatus as ServingStatus,
  type HealthCheckRequest,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
  type HealthListRequest,
  type HealthListResponse,
  HealthListResponseSchema,
} from '#gen/health/v1/health_pb.js';
import { serviceDefinition } from './channels.js';

type Watch = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

export class HealthService {
  /** With the empty name, which is the server as a whole. */
  readonly #services: ReadonlySet<string>;
  readonly #watches = new Set<Watch>();
  #serving = false;

  /** @param services their full names, such as sparkrunner.SparkRunnerService */
  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  get serving(): boolean {
    return this.#serving;
  }

  /** Of the server and each of its services; NOT_SERVING until it is said. */
  set(serving: boolean): void {
    if (serving === this.#serving) return;
    this.#serving = serving;
    for (const watch of this.#watches) this.#tell(watch);
  }

  addTo(server: Server): void {
    server.addService(serviceDefinition(Health), {
      check: (
        { request }: ServerUnaryCall<HealthCheckRequest, HealthCheckResponse>,
        callback: sendUnaryData<HealthCheckResponse>,
      ) => {
        const found = this.#statusOf(request.service);
        if (found === ServingStatus.SERVICE_UNKNOWN) {
          callback({ code: status.NOT_FOUND, details: 'There is no such service here.' });
        } else callback(null, create(HealthCheckResponseSchema, { status: found }));
      },
      list: (
        _call: ServerUnaryCall<HealthListRequest, HealthListResponse>,
        callback: sendUnaryData<HealthListResponse>,
      ) => {
        const statuses = Object.fromEntries(
          [...this.#services].map((name) => [name, { status: this.#statusOf(name) }]),
        );
        callback(null, create(HealthListResponseSchema, { statuses }));
      },
      watch: (call: Watch) => {
        this.#watches.add(call);
        const ended = () => void this.#watches.delete(call);
        for (const event of ['cancelled', 'close', 'error']) call.on(event, ended);
        this.#tell(call);
      },
    });
  }

  /** Ends every watch, so that the server can close. */
  close(): void {
    this.set(false);
    for (const watch of this.#watches) watch.end();
    this.#watches.clear();
  }

  #tell(watch: Watch): void {
    watch.write(
      create(HealthCheckResponseSchema, { status: this.#statusOf(watch.request.service) }),
    );
  }

  #statusOf(service: string): ServingStatus {
    if (!this.#services.has(service)) return ServingStatus.SERVICE_UNKNOWN;
    return this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}
