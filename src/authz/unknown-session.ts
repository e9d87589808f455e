/**
 * Answers for sessions that have no driver, as a Spark server gives them for a session that has run
 * nothing (measured with 3.5 and 4.3): no driver is started to say so. None names a server-side
 * session, as a client remembers the first that it is told of.
 */
import { randomUUID } from 'node:crypto';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { frame } from '../lib/grpc/http2-calls.js';
import type { Operation } from './operations.js';

export interface UnknownSessionRequest {
  readonly method: string;
  readonly sessionId: string;
  /** Of ExecutePlan. */
  readonly operation: Operation | undefined;
  /** Of Interrupt: the operations that it ended in the gateway itself. */
  readonly interrupted: readonly string[];
  /** Of Config: the settings that it reads. */
  readonly reads: readonly string[];
}

/** The framed messages of the answer; undefined: Spark would refuse the request, or begin a session. */
export function unknownSessionAnswer(request: UnknownSessionRequest): Buffer | undefined {
  const { method, sessionId, operation, interrupted, reads } = request;
  switch (method) {
    case 'Interrupt':
      return answer([1, sessionId], ...interrupted.map((id) => [2, id] as const));
    case 'FetchErrorDetails':
      return answer();
    case 'ReleaseSession':
      return answer([1, sessionId]);
    case 'Config':
      // None of them has a value: what a client makes of that it asks again when it needs to know.
      return answer([1, sessionId], ...reads.map((key) => [2, field(1, key)] as const));
    case 'ExecutePlan':
      // A reattachable execution is over when its client has seen result_complete (14), whatever else.
      return operation?.isCleanUp
        ? answer([1, sessionId], [12, operation.id ?? randomUUID()], [13, randomUUID()], [14, ''])
        : undefined;
    default:
      return undefined;
  }
}

/** A message of strings, and of messages as their bytes. */
function answer(...fields: readonly (readonly [number, string | Uint8Array])[]): Buffer {
  const writer = new BinaryWriter();
  for (const [number, value] of fields) {
    writer.tag(number, WireType.LengthDelimited);
    if (typeof value === 'string') writer.string(value);
    else writer.bytes(value);
  }
  return frame(writer.finish());
}

function field(number: number, value: string): Uint8Array {
  return new BinaryWriter().tag(number, WireType.LengthDelimited).string(value).finish();
}
