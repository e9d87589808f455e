/** Every form of Spark Connect's requests (spark/connect/base.proto), as bytes without an identity. */
import { randomUUID } from 'node:crypto';
import type { PySparkVersion } from './pyspark.js';
import { encode, type EncodedField } from './spark-messages.js';

export interface RequestForm {
  readonly name: string;
  /** Last segment of the gRPC path. */
  readonly method: string;
  /** What follows `session_id` and `user_context`. */
  readonly content: Buffer;
}

export interface FormTargets {
  readonly operationId: string;
  /** What the statements of ExecutePlan do. */
  readonly query: string;
  readonly command: string;
}

/** `Plan{root: Relation{sql: SQL{query}}}`; a statement is carried out when it is executed. */
function plan(sql: string): Buffer {
  return encode([1, encode([10, encode([1, sql])])]);
}

/** `AddArtifactsRequest.SingleChunkArtifact` of three bytes, with their CRC. */
const artifact = encode(
  [1, 'files/planted.txt'],
  [2, Buffer.concat([encode([1, 'abc']), Buffer.from([0x11, 0xc2, 0x41, 0x24, 0x35, 0, 0, 0, 0])])],
);

function form(name: string, method: string, ...fields: readonly EncodedField[]): RequestForm {
  return { name, method, content: encode(...fields) };
}

/** The forms that this version's server knows. Harmful to whichever session they reach. */
export function requestForms(
  version: PySparkVersion,
  { operationId, query, command }: FormTargets,
): readonly RequestForm[] {
  return [
    form('a query', 'ExecutePlan', [3, plan(query)]),
    form('a command', 'ExecutePlan', [3, plan(command)]),
    form('an analysis', 'AnalyzePlan', [4, encode([1, plan(query)])]),
    form('a setting', 'Config', [
      3,
      encode([1, encode([1, encode([1, 'spark.sql.session.timeZone'], [2, 'Asia/Tokyo'])])]),
    ]),
    form('reading a setting', 'Config', [3, encode([2, encode([1, 'spark.app.name'])])]),
    form('artifacts', 'AddArtifacts', [3, encode([1, artifact])]),
    form('what artifacts there are', 'ArtifactStatus', [4, 'files/planted.txt']),
    form('an interrupt of all', 'Interrupt', [4, 1]),
    form('an interrupt of one', 'Interrupt', [4, 3], [6, operationId]),
    form('a reattach', 'ReattachExecute', [3, operationId]),
    form('the release of an operation', 'ReleaseExecute', [3, operationId], [5, encode()]),
    ...(version === '3.5'
      ? []
      : [
          form('the details of an error', 'FetchErrorDetails', [3, randomUUID()]),
          form('a clone', 'CloneSession', [4, randomUUID()]),
          form('a status', 'GetStatus', [5, encode()]),
          form('the end of a session', 'ReleaseSession'),
        ]),
  ];
}
