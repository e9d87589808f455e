import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import {
  Server,
  ServerCredentials,
  status,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { asOnTheWire } from '../../src/lib/grpc/channels.js';
import { SPARK_CONNECT_SERVICE } from '../../src/model/names.js';
import { encode } from './spark-messages.js';

interface Call {
  readonly method: string;
  readonly sessionId: string;
  readonly userId: string;
}

/** A Spark Connect server that knows GetStatus, ReleaseSession and what streaming queries are active, as Spark 4.3 answers them. */
export class FakeSparkConnect {
  readonly calls: Call[] = [];
  /** Sessions with the states of their operations (OperationState). */
  readonly sessions = new Map<string, number[]>();
  /** Sessions with active streaming queries. */
  readonly streaming = new Set<string>();
  /** What the question for streaming queries fails with. */
  streamingFailure: string | undefined;
  /** Whether it is new enough for GetStatus. */
  answersStatus = true;
  /** What GetStatus is answered with instead of a status. */
  rawStatus: Buffer | undefined;
  address = '';
  port = 0;
  readonly #token: string;
  readonly #server = new Server();

  constructor(token: string) {
    this.#token = token;
  }

  async start(address: string, credentials = ServerCredentials.createInsecure()): Promise<void> {
    this.#server.addService(
      {
        GetStatus: rawMethod('GetStatus'),
        ReleaseSession: rawMethod('ReleaseSession'),
        ExecutePlan: { ...rawMethod('ExecutePlan'), responseStream: true },
      },
      {
        ExecutePlan: (call: ServerWritableStream<Buffer, Buffer>) => {
          const [sessionId, userId] = readRequest(call.request);
          this.calls.push({ method: 'ExecutePlan', sessionId, userId });
          if (this.streamingFailure !== undefined) {
            call.emit('error', { code: status.INTERNAL, details: this.streamingFailure });
            return;
          }
          call.write(activeQueries(this.streaming.has(sessionId) ? ['rate'] : []));
          // Its end: result_complete.
          call.write(Buffer.from([0x72, 0x00]));
          call.end();
        },
        GetStatus: this.#answer(
          'GetStatus',
          (sessionId) => this.rawStatus ?? statusResponse(this.#find(sessionId)),
        ),
        ReleaseSession: this.#answer('ReleaseSession', (sessionId) => {
          this.sessions.delete(sessionId);
          return Buffer.alloc(0);
        }),
      },
    );
    this.port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(`${address}:0`, credentials, (error, port) => {
        if (error) reject(error);
        else resolve(port);
      });
    });
    this.address = address;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  #find(sessionId: string): number[] {
    const states = this.sessions.get(sessionId);
    if (!states) throw new Error('[INVALID_HANDLE.SESSION_NOT_FOUND] The handle is invalid.');
    return states;
  }

  #answer(method: string, respond: (sessionId: string) => Buffer) {
    return (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
      const [sessionId, userId] = readRequest(call.request);
      this.calls.push({ method, sessionId, userId });
      if (call.metadata.get('authorization')[0] !== `Bearer ${this.#token}`) {
        callback({ code: status.UNAUTHENTICATED, details: 'Invalid authentication token' });
      } else if (method === 'GetStatus' && !this.answersStatus) {
        callback({ code: status.UNIMPLEMENTED, details: 'Method not found' });
      } else {
        try {
          callback(null, respond(sessionId));
        } catch (error) {
          callback({ code: status.INTERNAL, details: String(error) });
        }
      }
    };
  }
}

function rawMethod(name: string) {
  return {
    path: `/${SPARK_CONNECT_SERVICE}/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: asOnTheWire,
    requestDeserialize: asOnTheWire,
    responseSerialize: asOnTheWire,
    responseDeserialize: asOnTheWire,
  };
}

function readRequest(bytes: Uint8Array): [sessionId: string, userId: string] {
  const reader = new BinaryReader(bytes);
  reader.tag();
  const sessionId = reader.string();
  reader.tag();
  const context = new BinaryReader(reader.bytes());
  context.tag();
  return [sessionId, context.string()];
}

function statusResponse(states: readonly number[]): Buffer {
  const writer = new BinaryWriter().tag(2, WireType.LengthDelimited).string('server-side id');
  for (const [n, state] of states.entries()) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(`operation ${n}`);
    writer.tag(2, WireType.Varint).int32(state).join();
  }
  return Buffer.from(writer.finish());
}

function activeQueries(names: readonly string[]): Buffer {
  const queries = names.map((name) => encode([1, encode([2, name])]));
  return encode([1, 'session'], [11, encode([1, Buffer.concat(queries)])]);
}
