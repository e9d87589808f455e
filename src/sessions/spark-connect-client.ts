/**
 * The calls that the gateway itself makes to a driver. Field numbers are those of
 * spark/connect/base.proto and commands.proto (Spark 3.5 to 4.3); each message begins with session_id (1)
 * and user_context (2).
 */
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  type ChannelCredentials,
  Client,
  credentials,
  Metadata,
  type ServiceError,
} from '@grpc/grpc-js';
import { GrpcStatus } from '../model/errors.js';
import { IDENTITY_HEADER, SPARK_CONNECT_SERVICE } from '../model/names.js';
import { requestIdentity } from '../model/request-identity.js';
import type { SessionAddress, SessionStatus, SparkConnect } from './expiry.js';

const TIMEOUT_MS = 5000;
const CLIENT_TYPE = 'spark-connect-gateway';

/** GetStatusResponse.OperationStatus.OperationState. */
const OPERATION_STATE_RUNNING = 2;
const OPERATION_STATE_TERMINATING = 3;

/**
 * A client without connections of its own: each call opens one and closes it.
 * @param driverCredentials how drivers are reached; by default in the clear.
 */
export function sparkConnectClient(
  driverCredentials: ChannelCredentials = credentials.createInsecure(),
): SparkConnect {
  const call = (method: string, request: Uint8Array, session: SessionAddress) =>
    callDriver(driverCredentials, method, request, session);
  return {
    async status(session) {
      try {
        const answer = await call('GetStatus', getStatusRequest(session), session);
        const status =
          answer instanceof Uint8Array
            ? isRunning(answer)
              ? 'running'
              : 'idle'
            : statusOfFailure(answer);
        if (status !== 'idle' && status !== 'unsupported') return status;
        // GetStatus knows operations; a streaming query goes on when the one that began it has ended.
        const queries = await call('ExecutePlan', activeQueriesRequest(session), session);
        if (queries instanceof Uint8Array) return hasActiveQuery(queries) ? 'running' : status;
        const failure = statusOfFailure(queries);
        return failure === 'unsupported' ? status : failure;
      } catch {
        return 'unreachable';
      }
    },
    async release(session) {
      try {
        const answer = await call('ReleaseSession', releaseSessionRequest(session), session);
        return answer instanceof Uint8Array || statusOfFailure(answer) === 'unknown';
      } catch {
        return false;
      }
    },
  };
}

/**
 * The responses' bytes, one after the other, or the error that came instead. Rejects when the token cannot be sent in a
 * header; that error holds the token, so it is for nobody's eyes.
 */
async function callDriver(
  driverCredentials: ChannelCredentials,
  method: string,
  request: Uint8Array,
  session: SessionAddress,
): Promise<Uint8Array | ServiceError> {
  const metadata = new Metadata();
  metadata.set(IDENTITY_HEADER, requestIdentity(session.sessionId, session.userId));
  if (session.token !== undefined) metadata.set('authorization', `Bearer ${session.token}`);
  const client = new Client(session.address, driverCredentials, {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_retries': 0,
  });
  return new Promise<Uint8Array | ServiceError>((resolve) => {
    const responses: Buffer[] = [];
    // A unary call is a stream of one response.
    const responding = client.makeServerStreamRequest(
      `/${SPARK_CONNECT_SERVICE}/${method}`,
      (bytes: Uint8Array) => Buffer.from(bytes),
      (bytes: Buffer) => bytes,
      request,
      metadata,
      { deadline: Date.now() + TIMEOUT_MS },
    );
    responding.on('data', (bytes: Buffer) => responses.push(bytes));
    responding.on('error', resolve);
    responding.on('end', () => resolve(Buffer.concat(responses)));
  }).finally(() => client.close());
}

function statusOfFailure({ code, details }: ServiceError): SessionStatus {
  if (code === GrpcStatus.UNIMPLEMENTED) return 'unsupported';
  // INVALID_HANDLE.SESSION_NOT_FOUND, SESSION_CLOSED or SESSION_CHANGED.
  if (details.includes('INVALID_HANDLE.SESSION_')) return 'unknown';
  return 'unreachable';
}

function getStatusRequest(session: SessionAddress): Uint8Array {
  // An empty operation_status (5) asks for all operations of the session.
  return begin(session)
    .tag(3, WireType.LengthDelimited)
    .string(CLIENT_TYPE)
    .tag(5, WireType.LengthDelimited)
    .fork()
    .join()
    .finish();
}

function releaseSessionRequest(session: SessionAddress): Uint8Array {
  return begin(session).tag(3, WireType.LengthDelimited).string(CLIENT_TYPE).finish();
}

/** ExecutePlanRequest{plan{command{streaming_query_manager_command{active: true}}}}. */
function activeQueriesRequest(session: SessionAddress): Uint8Array {
  return begin(session)
    .tag(3, WireType.LengthDelimited)
    .fork()
    .tag(2, WireType.LengthDelimited)
    .fork()
    .tag(9, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.Varint)
    .bool(true)
    .join()
    .join()
    .join()
    .tag(4, WireType.LengthDelimited)
    .string(CLIENT_TYPE)
    .finish();
}

function begin(session: SessionAddress): BinaryWriter {
  return new BinaryWriter()
    .tag(1, WireType.LengthDelimited)
    .string(session.sessionId)
    .tag(2, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string(session.userId)
    .join();
}

/** ExecutePlanResponse{streaming_query_manager_command_result (11){active (1){active_queries (1)}}}. */
function hasActiveQuery(responses: Uint8Array): boolean {
  return messagesAt(responses, 11).some((result) =>
    messagesAt(result, 1).some((active) => messagesAt(active, 1).length > 0),
  );
}

/** The values of a repeated message; of several messages one after the other, those of all. */
function messagesAt(bytes: Uint8Array, wanted: number): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === wanted && wireType === WireType.LengthDelimited) found.push(reader.bytes());
    else reader.skip(wireType, field);
  }
  return found;
}

/** Whether a GetStatusResponse names an operation that has not ended. */
function isRunning(response: Uint8Array): boolean {
  return messagesAt(response, 3).some(isRunningOperation);
}

function isRunningOperation(status: Uint8Array): boolean {
  const reader = new BinaryReader(status);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field !== 2 || wireType !== WireType.Varint) {
      reader.skip(wireType, field);
      continue;
    }
    const state = reader.int32();
    if (state === OPERATION_STATE_RUNNING || state === OPERATION_STATE_TERMINATING) return true;
  }
  return false;
}
