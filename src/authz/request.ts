/**
 * What a Spark Connect request says of its session, read from the first bytes of its body.
 *
 * Every request message has `session_id` as field 1 and `user_context`, whose field 1 is `user_id`,
 * as field 2 (spark/connect/base.proto, 3.5 to 4.x). Serialisers write fields in order, so both are
 * in the first few hundred bytes of even the largest plan.
 */
import { isUtf8 } from 'node:buffer';
import { constants, gunzipSync, inflateSync } from 'node:zlib';
import { GatewayError, hasCode } from '../model/errors.js';
import { SPARK_CONNECT_SERVICE } from '../model/names.js';
import { MESSAGE_HEADER_BYTES } from './grpc-wire.js';
import { TextCache } from './text-cache.js';
import { MalformedMessage, WireReader, WireType } from './wire.js';

export interface SparkRequest {
  readonly sessionId: string;
  /** What the client claims; empty if it says nothing. */
  readonly userId: string;
  /** CloneSession: the id of the new session; undefined if the client leaves it to the server. */
  readonly newSessionId: string | undefined;
  /** ReleaseSession: the client means to come back, so the session goes on. */
  readonly allowReconnect: boolean;
  /** Of the first message as it is sent, bytes: compressed, where it is. */
  readonly messageBytes: number;
}

const SESSION_ID_FIELD = 1;
const USER_CONTEXT_FIELD = 2;
const USER_ID_FIELD = 1;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
/** What stands for bytes that are no UTF-8. */
const REPLACEMENT = '\ufffd';

/** Sessions and users have many requests. */
const texts = new TextCache({ places: 16_384, maxBytes: 2 * 1024 * 1024 });

/**
 * Reads the request of which `body` holds the first bytes, perhaps all of them.
 * Throws REQUEST_UNREADABLE.
 *
 * A field that comes again counts with its last value, as in every protobuf parser. Only what is in
 * the prefix can be seen: a client that repeats `session_id` beyond it reaches another session of
 * its own driver, and drivers are shared only among those who trust each other.
 */
export function readSparkRequest(
  body: Buffer,
  encoding: string | undefined,
  method: SparkMethod,
): SparkRequest {
  const { bytes, length } = messagePrefix(body, encoding);
  let fields: Fields;
  try {
    fields = readFields(bytes, length, method);
  } catch (error) {
    if (error instanceof MalformedMessage) {
      throw unreadable('its body is not a Spark Connect message', error);
    }
    throw error;
  }
  return checked(fields, messageBytes(body));
}

/** The first bytes of a request's message, inflated. Throws REQUEST_UNREADABLE. */
export function messagePrefix(
  body: Buffer,
  encoding: string | undefined,
): {
  readonly bytes: Buffer;
  /** Of the whole message. Nothing says how long an inflated one is before its end has been seen. */
  readonly length: number;
} {
  if (body.length < MESSAGE_HEADER_BYTES) throw unreadable('its first message has not arrived');
  const flag = body[0];
  if (flag !== 0 && flag !== 1) throw unreadable('its body is not a gRPC message');
  const length = messageBytes(body);
  const content = body.subarray(MESSAGE_HEADER_BYTES, MESSAGE_HEADER_BYTES + length);
  if (flag === 0) return { bytes: content, length };
  const { bytes, whole } = inflatePrefix(content, encoding);
  const complete = whole && content.length === length;
  return { bytes, length: complete ? bytes.length : Number.MAX_SAFE_INTEGER };
}

/** As the frame's header says. */
function messageBytes(body: Buffer): number {
  return body.readUInt32BE(1);
}

/** undefined: not seen, and the message goes on. */
interface Fields {
  sessionId: string | undefined;
  userId: string | undefined;
  newSessionId: string | undefined;
  allowReconnect: boolean | undefined;
}

function readFields(bytes: Buffer, length: number, method: SparkMethod): Fields {
  const fields: Fields = {
    sessionId: undefined,
    userId: undefined,
    newSessionId: undefined,
    allowReconnect: undefined,
  };
  const reader = new WireReader(bytes, 0, length, bytes.length);
  let hasUserContext = false;
  let isPastUserContext = false;
  for (;;) {
    const step = reader.next();
    if (step === 'end') {
      // A field that never came has its default value.
      fields.sessionId ??= '';
      fields.userId ??= '';
      fields.newSessionId ??= '';
      fields.allowReconnect ??= false;
      return fields;
    }
    const { field, wireType } = reader;
    isPastUserContext ||= field > USER_CONTEXT_FIELD;
    if (wireType === WireType.BYTES) {
      // A field that is cut takes back what an earlier copy said: its own value would count.
      if (field === SESSION_ID_FIELD) fields.sessionId = text(bytes, reader, step);
      else if (field === USER_CONTEXT_FIELD) {
        hasUserContext = true;
        readUserContext(bytes, reader, fields);
      } else if (field === method.newSessionField) fields.newSessionId = text(bytes, reader, step);
    } else if (wireType === WireType.VARINT && field === method.allowReconnectField) {
      fields.allowReconnect = step === 'cut' ? undefined : reader.value !== 0;
    }
    if (step === 'cut') {
      // These two are last in messages that are small: they are either seen or refused.
      if (method.newSessionField === undefined) fields.newSessionId ??= '';
      if (method.allowReconnectField === undefined) fields.allowReconnect ??= false;
      // Without a user (no USER in a container, say) stock clients leave user_context out. One that
      // hides it further back is taken for one who says nothing, which policy may refuse.
      if (isPastUserContext && !hasUserContext) fields.userId = '';
      return fields;
    }
  }
}

/** Merges this copy of `user_context` into what earlier copies said. */
function readUserContext(bytes: Buffer, outer: WireReader, fields: Fields): void {
  const reader = new WireReader(bytes, outer.start, outer.end, bytes.length);
  let seen = false;
  for (;;) {
    const step = reader.next();
    if (step === 'end') {
      fields.userId ??= '';
      return;
    }
    if (reader.field === USER_ID_FIELD && reader.wireType === WireType.BYTES) {
      fields.userId = text(bytes, reader, step);
      seen = true;
    }
    if (step === 'cut') {
      if (!seen) fields.userId = undefined;
      return;
    }
  }
}

function text(bytes: Buffer, reader: WireReader, step: 'field' | 'cut'): string | undefined {
  if (step === 'cut') return undefined;
  const value = texts.text(bytes, reader.start, reader.end);
  if (value.includes(REPLACEMENT) && !isUtf8(bytes.subarray(reader.start, reader.end))) {
    throw new MalformedMessage('a string is not UTF-8');
  }
  return value;
}

function checked(fields: Fields, bytes: number): SparkRequest {
  const { sessionId, userId, newSessionId, allowReconnect } = fields;
  if (sessionId === undefined || userId === undefined) {
    throw unreadable('session_id and user_context are not in its first bytes');
  }
  if (newSessionId === undefined || allowReconnect === undefined) {
    throw unreadable('its message is longer than the gateway reads');
  }
  if (sessionId === '') throw unreadable('it has no session_id');
  if (!UUID.test(sessionId)) throw notUuid('session_id');
  if (newSessionId !== '' && !UUID.test(newSessionId)) throw cloneIdUnreadable();
  if (CONTROL_CHARACTER.test(userId)) throw unreadable('its user_id has control characters');
  return {
    sessionId,
    userId,
    newSessionId: newSessionId || undefined,
    allowReconnect,
    messageBytes: bytes,
  };
}

/** With the name that Spark's own refusal has. */
function cloneIdUnreadable(): GatewayError {
  return new GatewayError(
    'REQUEST_UNREADABLE',
    '[INVALID_CLONE_SESSION_REQUEST.TARGET_SESSION_ID_FORMAT] The new session id is not a UUID in lower case. ' +
      'Leave it out, or type: import uuid; spark.cloneSession(str(uuid.uuid4()))',
  );
}

function notUuid(field: string): GatewayError {
  return unreadable(`its ${field} is not a UUID in lower case, such as Python's str(uuid.uuid4())`);
}

function unreadable(what: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'REQUEST_UNREADABLE',
    `The gateway cannot tell which session this request belongs to: ${what}. ` +
      'Connect with a Spark Connect client of version 3.5 or later.',
    { cause },
  );
}

// The RPCs of Spark Connect 3.5 to 4.x and what authz does differently for each.

export interface SparkMethod {
  readonly name: string;
  /** Whether it may make an assignment or start a driver. */
  readonly mayCreate: boolean;
  /** Whether an owner's token that has expired is still good for it, within the grace. */
  readonly graceful: boolean;
  /** What it is of a query, if it is part of one that counts for the limits of the policy. */
  readonly query?: 'begins' | 'resumes';
  /** The string field that names a second session, of this one's driver. */
  readonly newSessionField?: number;
  /** The bool field that says whether the client means to come back. */
  readonly allowReconnectField?: number;
}

const methods: readonly SparkMethod[] = [
  { name: 'Config', mayCreate: true, graceful: false },
  { name: 'AnalyzePlan', mayCreate: true, graceful: false },
  { name: 'ExecutePlan', mayCreate: true, graceful: false, query: 'begins' },
  { name: 'AddArtifacts', mayCreate: true, graceful: false },
  { name: 'ArtifactStatus', mayCreate: true, graceful: false },
  { name: 'ReattachExecute', mayCreate: false, graceful: true, query: 'resumes' },
  { name: 'ReleaseExecute', mayCreate: false, graceful: true },
  { name: 'ReleaseSession', mayCreate: false, graceful: true, allowReconnectField: 4 },
  { name: 'Interrupt', mayCreate: false, graceful: true },
  { name: 'FetchErrorDetails', mayCreate: false, graceful: true },
  { name: 'CloneSession', mayCreate: false, graceful: false, newSessionField: 4 },
  { name: 'GetStatus', mayCreate: false, graceful: false },
];

const byPath = new Map(
  methods.map((method) => [`/${SPARK_CONNECT_SERVICE}/${method.name}`, method]),
);

/** The method of a gRPC path; undefined for a path that is not one of Spark Connect's. */
export function sparkMethod(path: string): SparkMethod | undefined {
  return byPath.get(path);
}

// Inflates the first bytes of a compressed gRPC message.

/** Deflate grows data up to 1,032 times, so what is inflated is bounded whatever is sent. */
const MAX_INPUT_BYTES = 16 * 1024;
const MAX_OUTPUT_BYTES = 64 * 1024;

const algorithms = new Map([
  ['gzip', gunzipSync],
  ['deflate', inflateSync],
]);

export interface InflatedPrefix {
  readonly bytes: Buffer;
  /** Whether `bytes` is everything that the input holds. */
  readonly whole: boolean;
}

/**
 * Inflates as much of `compressed`, the beginning of a compressed message, as fits the bounds.
 * `encoding` is the request's `grpc-encoding`. Throws REQUEST_UNREADABLE for an encoding that is
 * not supported or data that is not of that encoding.
 */
function inflatePrefix(compressed: Buffer, encoding: string | undefined): InflatedPrefix {
  const inflate = algorithms.get(encoding ?? '');
  if (!inflate) {
    throw new GatewayError(
      'REQUEST_UNREADABLE',
      `The request is compressed with ${encoding === undefined ? 'no encoding named in grpc-encoding' : `"${encoding.slice(0, 32)}"`}; ` +
        'the gateway reads gzip and deflate. Use one of them, or no compression.',
    );
  }
  // A sync flush gives what a cut input holds instead of an error.
  const options = { finishFlush: constants.Z_SYNC_FLUSH, maxOutputLength: MAX_OUTPUT_BYTES };
  let input = compressed.subarray(0, MAX_INPUT_BYTES);
  for (;;) {
    try {
      return { bytes: inflate(input, options), whole: input.length === compressed.length };
    } catch (error) {
      if (!hasCode(error, 'ERR_BUFFER_TOO_LARGE') || input.length < 2) {
        throw new GatewayError(
          'REQUEST_UNREADABLE',
          `The request says that it is compressed with ${encoding}, but its data is not.`,
          { cause: error },
        );
      }
      input = input.subarray(0, input.length >> 1);
    }
  }
}
