/** An ext_authz service that answers as a test says. */
import { create } from '@bufbuild/protobuf';
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from '@grpc/grpc-js';
import {
  Authorization,
  type CheckRequest,
  type CheckResponse,
  CheckResponseSchema,
} from '#gen/envoy/service/auth/v3/external_auth_pb.js';
import { StatusCode } from '#gen/envoy/type/v3/http_status_pb.js';
import { serviceDefinition } from '../../src/lib/grpc/channels.js';
import { hostPort, type RoutableDriver } from '../../src/model/driver.js';
import {
  AccessMetadata,
  AFFINITY_HEADER,
  CLUSTER_HEADER,
  clusterName,
  PIN_HEADER,
  ringHashKey,
  SESSION_HEADER,
} from '../../src/model/names.js';

export type Check = (request: CheckRequest) => CheckResponse | Promise<CheckResponse>;

export class ScriptedAuthz {
  readonly requests: CheckRequest[] = [];
  /** As Envoy sent them with its checks. */
  readonly traceparents: (string | undefined)[] = [];
  readonly #socketPath: string;
  #server = new Server();
  /** What the next checks are answered with. */
  check: Check;

  private constructor(socketPath: string, check: Check) {
    this.#socketPath = socketPath;
    this.check = check;
  }

  static async start(socketPath: string, check: Check): Promise<ScriptedAuthz> {
    const authz = new ScriptedAuthz(socketPath, check);
    await authz.restart();
    return authz;
  }

  async restart(): Promise<void> {
    this.stop();
    this.#server = new Server();
    this.#server.addService(serviceDefinition(Authorization), {
      check: (
        call: ServerUnaryCall<CheckRequest, CheckResponse>,
        callback: sendUnaryData<CheckResponse>,
      ) => {
        this.requests.push(call.request);
        this.traceparents.push(call.metadata.get('traceparent')[0]?.toString());
        void Promise.resolve(this.check(call.request)).then((response) => callback(null, response));
      },
    });
    await new Promise<void>((resolve, reject) => {
      this.#server.bindAsync(
        `unix:${this.#socketPath}`,
        ServerCredentials.createInsecure(),
        (error) => (error ? reject(error) : resolve()),
      );
    });
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}

/** Stamps the request for a driver. */
export function allow(
  driver: RoutableDriver,
  session = 'a-session',
  more: Readonly<Record<string, string>> = {},
): CheckResponse {
  const pin = Buffer.from(hostPort(driver.address, driver.port)).toString('base64');
  return create(CheckResponseSchema, {
    status: { code: 0 },
    httpResponse: {
      case: 'okResponse',
      value: {
        headers: [
          header(CLUSTER_HEADER, clusterName(driver.namespace)),
          header(AFFINITY_HEADER, ringHashKey(driver.uid)),
          header(PIN_HEADER, pin),
          header(SESSION_HEADER, session),
          ...Object.entries(more).map(([name, value]) => header(name, value)),
        ],
      },
    },
    dynamicMetadata: {
      [AccessMetadata.session]: session,
      [AccessMetadata.principal]: 'ada@example.com',
      [AccessMetadata.issuer]: 'https://issuer.example.com',
      [AccessMetadata.team]: 'search',
      [AccessMetadata.environment]: 'test',
      [AccessMetadata.namespace]: driver.namespace,
      [AccessMetadata.driver]: driver.uid,
    },
  });
}

export function refuse(grpcStatus: number, message: string, code: string): CheckResponse {
  return create(CheckResponseSchema, {
    status: { code: grpcStatus },
    httpResponse: {
      case: 'deniedResponse',
      value: {
        status: { code: StatusCode.Forbidden },
        headers: [
          header('grpc-status', String(grpcStatus)),
          header('grpc-message', encodeURIComponent(message)),
        ],
      },
    },
    dynamicMetadata: { [AccessMetadata.refusal]: code },
  });
}

export function header(key: string, value: string) {
  return { header: { key, value } };
}
