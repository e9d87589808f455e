/**
 * Answers for sessions that have no driver, as a Spark server gives them for a session that has run
 * nothing (measured with 3.5 and 4.3): no driver is started to say so. None names a server-side
 * session, as a client remembers the first that it is told of.
 */
import { randomUUID } from 'node:crypto';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { frame } from './grpc-wire.js';
import type { Operation } from './operations.js';

export interface UnknownSessionRequest {
  readonly method: string;
  readonly sessionId: string;
  /** Of ExecutePlan. */
  readonly operation: Operation | undefined;
  /** Of Interrupt: the operations that it ended in the gateway itself. */
  readonly interrupted: readonly string[];
}

/** The framed messages of the answer; undefined: Spark would refuse the request, or begin a session. */
export function unknownSessionAnswer(request: UnknownSessionRequest): Buffer | undefined {
  const { method, sessionId, operation, interrupted } = request;
  switch (method) {
    case 'Interrupt':
      return answer([1, sessionId], ...interrupted.map((id) => [2, id] as const));
    case 'FetchErrorDetails':
      return answer();
    case 'ReleaseSession':
      return answer([1, sessionId]);
    case 'ExecutePlan':
      // A reattachable execution is over when its client has seen result_complete (14), whatever else.
      return operation?.isCleanUp
        ? answer([1, sessionId], [12, operation.id ?? randomUUID()], [13, randomUUID()], [14, ''])
        : undefined;
    default:
      return undefined;
  }
}

/** A message of strings, and of messages that are empty. */
function answer(...fields: readonly (readonly [number, string])[]): Buffer {
  const writer = new BinaryWriter();
  for (const [field, value] of fields) writer.tag(field, WireType.LengthDelimited).string(value);
  return frame(writer.finish());
}
