/** The state behind Check of grpc.health.v1.Health (grpc/doc/health-checking.md), and its two small messages. */
import { GrpcStatus } from '../model/errors.js';
import { CallError } from './grpc-wire.js';
import { MalformedMessage, WireReader, WireType } from '../lib/protobuf/wire.js';

export const HEALTH_CHECK_PATH = '/grpc.health.v1.Health/Check';

const ServingStatus = { SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } as const;
type ServingStatus = (typeof ServingStatus)[keyof typeof ServingStatus];

export class Health {
  readonly #services: ReadonlySet<string>;
  #serving = true;

  /** `services`: full names; the whole server is the empty name. */
  constructor(services: readonly string[]) {
    this.#services = new Set(['', ...services]);
  }

  stopServing(): void {
    this.#serving = false;
  }

  /** Answers `Check`. Throws CallError for a service that is not here. */
  check(request: Buffer): Buffer {
    const status = this.#status(serviceOf(request));
    if (status === ServingStatus.SERVICE_UNKNOWN) {
      throw new CallError(GrpcStatus.NOT_FOUND, 'There is no such service here.');
    }
    return encode(status);
  }

  #status(service: string): ServingStatus {
    if (!this.#services.has(service)) return ServingStatus.SERVICE_UNKNOWN;
    return this.#serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
  }
}

/** HealthCheckRequest { string service = 1; } */
function serviceOf(request: Buffer): string {
  let service = '';
  const reader = new WireReader(request, 0, request.length);
  try {
    while (reader.next() === 'field') {
      if (reader.field === 1 && reader.wireType === WireType.BYTES) {
        service = request.toString('utf8', reader.start, reader.end);
      }
    }
  } catch (error) {
    if (error instanceof MalformedMessage) {
      throw new CallError(GrpcStatus.INVALID_ARGUMENT, 'This is no HealthCheckRequest.');
    }
    throw error;
  }
  return service;
}

/** HealthCheckResponse { ServingStatus status = 1; } */
function encode(status: ServingStatus): Buffer {
  return Buffer.from([0x08, status]);
}
