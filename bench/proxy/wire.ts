/** What the load generator and the stand-in driver say to each other: gRPC over HTTP/2. */

export const CHUNK_BYTES = 1 << 20;

export const METHODS = {
  small: '/spark.connect.SparkConnectService/ReleaseExecute',
  stream: '/spark.connect.SparkConnectService/ExecutePlan',
  assign: '/spark.connect.SparkConnectService/Config',
  asked: '/spark.connect.SparkConnectService/AnalyzePlan',
} as const;

/** A gRPC message frame: not compressed, length, bytes. */
export function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** Of the session with this number. */
export function idOfSession(index: number): string {
  return `5f0c1f5e-3c1d-4a52-9d0a-${index.toString(16).padStart(12, '0')}`;
}

/** What PySpark asks before its first plan. */
const SETTINGS = [
  'spark.sql.session.timeZone',
  'spark.sql.timestampType',
  'spark.sql.session.localRelationCacheThreshold',
];

/** The first fields of every Spark Connect request, session id and user, and the third one as it is of this RPC. */
export function request(sessionId: string, userId: string, kind: keyof typeof METHODS): Buffer {
  const asked = field(2, Buffer.concat(SETTINGS.map((key) => field(1, Buffer.from(key)))));
  return frame(
    Buffer.concat([
      field(1, Buffer.from(sessionId)),
      field(2, field(1, Buffer.from(userId))),
      field(3, kind === 'assign' ? asked : Buffer.alloc(127, 0x61)),
    ]),
  );
}

/** What a driver says to most RPCs: a message whose first field, a session's id, is all of it; 80 bytes. */
export function smallAnswer(): Buffer {
  return frame(field(1, Buffer.alloc(78, 0x61)));
}

/** One message of an ExecutePlan's result: an arrow batch of CHUNK_BYTES. */
export function chunkOfResult(): Buffer {
  return frame(field(2, field(2, Buffer.alloc(CHUNK_BYTES, 1))));
}

/** A length-delimited field. */
function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
}

function varint(value: number): readonly number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...varint(value >>> 7)];
}
