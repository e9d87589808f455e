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

/**
 * The first fields of every Spark Connect request, session id and user, and the third one as it is of this RPC; 180
 * bytes. A query is answered with so many messages.
 */
export function request(
  sessionId: string,
  userId: string,
  kind: keyof typeof METHODS,
  messages = 0,
): Buffer {
  const text = Buffer.from(`messages=${messages};`.padEnd(121, 'a'));
  return frame(
    Buffer.concat([
      field(1, Buffer.from(sessionId)),
      field(2, field(1, Buffer.from(userId))),
      field(3, thirdField(kind, text)),
    ]),
  );
}

/** How many messages a query is answered with. */
export function messagesOf(query: Buffer): number {
  return Number(/messages=(\d+);/.exec(query.toString('latin1'))?.[1] ?? 0);
}

function thirdField(kind: keyof typeof METHODS, text: Buffer): Buffer {
  switch (kind) {
    case 'stream':
      // A plan: its root is a relation, which is of SQL, which has a query.
      return field(1, field(10, field(1, text)));
    case 'assign':
      // An operation: the keys that it gets.
      return field(2, Buffer.concat(SETTINGS.map((key) => field(1, Buffer.from(key)))));
    case 'small':
    case 'asked':
      // The id of an operation, the type of the client.
      return text;
  }
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
