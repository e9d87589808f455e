/** A control plane whose every answer and notice a test decides, served over real gRPC. */
import { create, type MessageInitShape } from '@bufbuild/protobuf';
import {
  Server,
  ServerCredentials,
  type sendUnaryData,
  type ServerDuplexStream,
  type ServerUnaryCall,
} from '@grpc/grpc-js';
import {
  type Assignment,
  AssignmentSchema,
  AssignmentService,
  type AssignManyRequest,
  type AssignManyResponse,
  AssignManyResponseSchema,
  AssignResponseSchema,
  FollowResponseSchema,
  type AssignRequest,
  type AssignResponse,
  type FollowRequest,
  type FollowResponse,
  type ReportStatusRequest,
  type ReportStatusResponse,
  ReportStatusResponseSchema,
} from '#gen/spark_gateway/v1/assignments_pb.js';
import { serviceDefinition } from '../../src/lib/grpc/channels.js';
import { statusDetails, toServiceError } from '../../src/lib/grpc/status-details.js';
import { toGatewayError } from '../../src/model/errors.js';
import { TRACE_HEADER } from '../../src/model/names.js';
import { Signal } from './signal.js';
import { unusedAddress } from './loopback.js';

/** A session that was asked for, alone or on a stream, and waits for the test's answer. */
export interface Asked {
  readonly request: AssignRequest;
  /** Of its trace; empty: none. */
  readonly traceparent: string;
  readonly how: 'alone' | 'stream';
  readonly cancelled: Promise<void>;
  answer(driverUid?: string): void;
  refuse(error: Error): void;
}

/** A sidecar's status, which waits for the test's answer. */
export interface Told {
  readonly request: ReportStatusRequest;
  answer(): void;
  refuse(error: Error): void;
}

export class FollowStream {
  readonly #call: ServerDuplexStream<FollowRequest, FollowResponse>;
  readonly #requests = new Signal<FollowRequest>();
  /** Resolves when the sidecar has gone. */
  readonly ended: Promise<void>;
  #sequence: bigint;

  constructor(call: ServerDuplexStream<FollowRequest, FollowResponse>, sequence: bigint) {
    this.#call = call;
    this.#sequence = sequence;
    call.on('data', (request: FollowRequest) => this.#requests.emit(request));
    this.ended = new Promise((resolve) => {
      call.on('end', resolve);
      call.on('cancelled', resolve);
    });
    call.on('error', () => undefined);
  }

  next(): Promise<FollowRequest> {
    return this.#requests.next();
  }

  send(notice: MessageInitShape<typeof FollowResponseSchema>): void {
    this.#call.write(create(FollowResponseSchema, notice));
  }

  /**
   * Sends a notice and resolves with the sidecar's answer, when it has applied this and everything
   * before. Acknowledges the report `acknowledgedReport`.
   */
  async apply(notice: {
    endedSessions?: string[];
    endedDrivers?: string[];
    reset?: boolean;
    acknowledgedReport?: bigint;
  }): Promise<FollowRequest> {
    const sequence = ++this.#sequence;
    // The end of a driver, even one that nobody knows, is answered at once.
    this.send({ ...notice, sequence, endedDrivers: [...(notice.endedDrivers ?? []), 'nobody'] });
    for (;;) {
      const request = await this.next();
      if (request.applied >= sequence) return request;
    }
  }

  end(): void {
    this.#call.end();
  }
}

export class ScriptedControlPlane {
  readonly #server: Server;
  readonly address: string;
  readonly asked = new Signal<Asked>();
  readonly follows = new Signal<FollowStream>();
  readonly told = new Signal<Told>();
  #streams = 0n;
  #manyStreams = 0;

  private constructor(server: Server, address: string) {
    this.#server = server;
    this.address = address;
  }

  /** Listens on the given address, or on a free port of one that nobody else uses. `knows…`: unlike one of an earlier release. */
  static async start(
    given?: string,
    credentials = ServerCredentials.createInsecure(),
    { knowsStatus = true, knowsMany = true } = {},
  ): Promise<ScriptedControlPlane> {
    const address = given ?? `${await unusedAddress()}:0`;
    const server = new Server();
    const port = await new Promise<number>((resolve, reject) => {
      server.bindAsync(address, credentials, (error, bound) => {
        if (error) reject(error);
        else resolve(bound);
      });
    });
    const plane = new ScriptedControlPlane(server, `${address.split(':')[0]}:${port}`);
    server.addService(serviceDefinition(AssignmentService), {
      assign: (
        call: ServerUnaryCall<AssignRequest, AssignResponse>,
        callback: sendUnaryData<AssignResponse>,
      ) => plane.asked.emit(asked(call, callback)),
      ...(knowsMany
        ? {
            assignMany: (call: ServerDuplexStream<AssignManyRequest, AssignManyResponse>) => {
              plane.#manyStreams += 1;
              askedMany(call, (one) => plane.asked.emit(one));
            },
          }
        : {}),
      follow: (call: ServerDuplexStream<FollowRequest, FollowResponse>) =>
        plane.follows.emit(new FollowStream(call, plane.#streams++ * 1000n)),
      ...(knowsStatus
        ? {
            reportStatus: (
              { request }: ServerUnaryCall<ReportStatusRequest, ReportStatusResponse>,
              callback: sendUnaryData<ReportStatusResponse>,
            ) =>
              plane.told.emit({
                request,
                answer: () => callback(null, create(ReportStatusResponseSchema)),
                refuse: (error) => callback(toServiceError(error)),
              }),
          }
        : {}),
    });
    return plane;
  }

  /** AssignMany streams that were begun. */
  get manyStreams(): number {
    return this.#manyStreams;
  }

  /** Cuts every connection. */
  stop(): void {
    this.#server.forceShutdown();
  }
}

function asked(
  call: ServerUnaryCall<AssignRequest, AssignResponse>,
  callback: sendUnaryData<AssignResponse>,
): Asked {
  const { request } = call;
  return {
    request,
    traceparent: call.metadata.get(TRACE_HEADER)[0]?.toString() ?? '',
    how: 'alone',
    cancelled: new Promise((resolve) => call.on('cancelled', () => resolve())),
    answer: (driverUid) =>
      callback(
        null,
        create(AssignResponseSchema, { assignment: assignmentOf(request, driverUid) }),
      ),
    refuse: (error) => callback(toServiceError(error)),
  };
}

function askedMany(
  call: ServerDuplexStream<AssignManyRequest, AssignManyResponse>,
  onAsked: (asked: Asked) => void,
): void {
  const cancels = new Map<number, () => void>();
  const tell = (response: MessageInitShape<typeof AssignManyResponseSchema>) =>
    call.write(create(AssignManyResponseSchema, response));
  call.on('error', () => undefined);
  call.on('cancelled', () => {
    for (const cancel of cancels.values()) cancel();
  });
  call.on('data', ({ id, asked: request, traceparent }: AssignManyRequest) => {
    if (!request) {
      cancels.get(id)?.();
      return;
    }
    onAsked({
      request,
      traceparent,
      how: 'stream',
      cancelled: new Promise((resolve) => cancels.set(id, resolve)),
      answer: (driverUid) =>
        tell({ id, answer: { case: 'assignment', value: assignmentOf(request, driverUid) } }),
      refuse: (error) =>
        tell({ id, answer: { case: 'refusal', value: statusDetails(toGatewayError(error)) } }),
    });
  });
}

function assignmentOf(request: AssignRequest, driverUid = 'driver-1'): Assignment {
  return create(AssignmentSchema, {
    sessionId: request.sessionId,
    ...(request.principal ? { principal: request.principal } : {}),
    userId: request.userId,
    driverUid,
    cluster: `spark/${request.namespace}`,
    address: '192.0.2.9:15002',
    driverToken: 'secret',
    team: request.team,
    environment: request.environment,
    namespace: request.namespace,
    cacheTtlMs: 60_000,
  });
}
