/**
 * What a Spark Connect request says of its session, read from the first bytes of its body.
 *
 * Every request message has `session_id` as field 1 and `user_context`, whose field 1 is `user_id`,
 * as field 2 (spark/connect/base.proto, 3.5 to 4.x). Serialisers write fields in order, so both are
 * in the first few hundred bytes of even the largest plan.
 *
 * Parsers of protobuf take the last of a field that comes again, and merge messages that do. No client
 * sends them so, and whoever does wants one reader to see what another does not: a field that says
 * whose session it is comes once, or the request is refused.
 */
import { isUtf8 } from 'node:buffer';
import {
  ZStream,
  Z_OK,
  Z_STREAM_END,
  Z_SYNC_FLUSH,
  zlibInflate,
  zlibInflateInit2,
  zlibInflateReset,
} from 'pako';
import { GatewayError } from '../model/errors.js';
import { quote } from '../lib/yaml/problem.js';
import { SPARK_CONNECT_SERVICE, BODY_PREFIX_BYTES } from '../model/names.js';
import { MESSAGE_HEADER_BYTES } from '../lib/grpc/http2-calls.js';
import type { TextCache } from '../lib/protobuf/text-cache.js';
import { MalformedMessage, WireReader, WireType } from '../lib/protobuf/wire.js';

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

/** The first bytes of a request's message, inflated. */
export interface MessagePrefix {
  readonly bytes: Buffer;
  /** Of the whole message. Nothing says how long an inflated one is before its end has been seen. */
  readonly length: number;
  /** Of the message as it is sent, bytes: compressed, where it is. */
  readonly sentBytes: number;
  /** Whether all of it is here, and nothing behind it. */
  readonly isAll: boolean;
}

/**
 * The message of which `body` holds the first bytes, perhaps all of them. `encoding` is the request's
 * `grpc-encoding`. Throws REQUEST_UNREADABLE.
 */
export function messagePrefix(
  body: Buffer,
  encoding: string | undefined,
  inflater: PrefixInflater,
): MessagePrefix {
  if (body.length < MESSAGE_HEADER_BYTES) throw unreadable('its first message has not arrived');
  const flag = body[0];
  if (flag !== 0 && flag !== 1) throw unreadable('its body is not a gRPC message');
  const sentBytes = body.readUInt32BE(1);
  const content = body.subarray(MESSAGE_HEADER_BYTES, MESSAGE_HEADER_BYTES + sentBytes);
  const isAll = body.length === MESSAGE_HEADER_BYTES + sentBytes;
  if (flag === 0) return { bytes: content, length: sentBytes, sentBytes, isAll };
  const { bytes, whole } = inflater.inflate(content, encoding);
  const complete = whole && content.length === sentBytes;
  const length = complete ? bytes.length : Number.MAX_SAFE_INTEGER;
  return { bytes, length, sentBytes, isAll: complete && isAll };
}

/** Reads the request that `message` is, or begins. Throws REQUEST_UNREADABLE. */
export function readSparkRequest(
  message: MessagePrefix,
  method: SparkMethod,
  texts: TextCache,
): SparkRequest {
  if (method.isWhole && !message.isAll) {
    throw unreadable(
      `${method.name} is decided on its whole message, and this one is longer than the gateway reads, or something follows it`,
    );
  }
  let fields: Fields;
  try {
    fields = new FieldReader(message, method, texts).read();
  } catch (error) {
    if (error instanceof MalformedMessage) {
      throw unreadable(`its body is not a Spark Connect message: ${error.message}`, error);
    }
    throw error;
  }
  return checked(fields, message.sentBytes);
}

/** undefined: not seen, and the message goes on. */
interface Fields {
  sessionId: string | undefined;
  userId: string | undefined;
  newSessionId: string | undefined;
  allowReconnect: boolean | undefined;
}

class FieldReader {
  readonly #message: MessagePrefix;
  readonly #method: SparkMethod;
  readonly #texts: TextCache;
  readonly #fields: Fields = {
    sessionId: undefined,
    userId: undefined,
    newSessionId: undefined,
    allowReconnect: undefined,
  };
  /** Numbers of the request's own fields that came and may not come again; all are below 32. */
  #seen = 0;

  constructor(message: MessagePrefix, method: SparkMethod, texts: TextCache) {
    this.#message = message;
    this.#method = method;
    this.#texts = texts;
  }

  /** Throws MalformedMessage. */
  read(): Fields {
    const { bytes, length } = this.#message;
    const { newSessionField, allowReconnectField } = this.#method;
    const fields = this.#fields;
    const reader = new WireReader(bytes, 0, length, bytes.length);
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
      const { field } = reader;
      isPastUserContext ||= field > USER_CONTEXT_FIELD;
      if (field === SESSION_ID_FIELD) {
        this.#once(reader, WireType.BYTES);
        fields.sessionId = this.#text(reader, step);
      } else if (field === USER_CONTEXT_FIELD) {
        this.#once(reader, WireType.BYTES);
        this.#readUserContext(reader);
      } else if (field !== 0 && field === newSessionField) {
        this.#once(reader, WireType.BYTES);
        fields.newSessionId = this.#text(reader, step);
      } else if (field !== 0 && field === allowReconnectField) {
        this.#once(reader, WireType.VARINT);
        fields.allowReconnect = step === 'cut' ? undefined : reader.value !== 0;
      }
      if (step === 'cut') {
        // Those who have these two fields are read whole.
        fields.newSessionId ??= '';
        fields.allowReconnect ??= false;
        // Without a user (no USER in a container, say) stock clients leave user_context out. One that
        // hides it further back is taken for one who says nothing, which policy may refuse.
        if (isPastUserContext && !(this.#seen & (1 << USER_CONTEXT_FIELD))) fields.userId = '';
        return fields;
      }
    }
  }

  #readUserContext(outer: WireReader): void {
    const { bytes } = this.#message;
    const reader = new WireReader(bytes, outer.start, outer.end, bytes.length);
    let seen = false;
    for (;;) {
      const step = reader.next();
      if (step === 'end') {
        this.#fields.userId ??= '';
        return;
      }
      if (reader.field === USER_ID_FIELD) {
        if (seen) throw new MalformedMessage('user_id comes more than once');
        expect(reader, WireType.BYTES);
        seen = true;
        this.#fields.userId = this.#text(reader, step);
      }
      if (step === 'cut') return;
    }
  }

  #once(reader: WireReader, wireType: number): void {
    expect(reader, wireType);
    const bit = 1 << reader.field;
    if (this.#seen & bit) throw new MalformedMessage(`field ${reader.field} comes more than once`);
    this.#seen |= bit;
  }

  #text(reader: WireReader, step: 'field' | 'cut'): string | undefined {
    if (step === 'cut') return undefined;
    const { bytes } = this.#message;
    const value = this.#texts.text(bytes, reader.start, reader.end);
    if (value.includes(REPLACEMENT) && !isUtf8(bytes.subarray(reader.start, reader.end))) {
      throw new MalformedMessage('a string is not UTF-8');
    }
    return value;
  }
}

function expect({ field, wireType }: WireReader, wanted: number): void {
  if (wireType !== wanted) throw new MalformedMessage(`field ${field} is of another type`);
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
  if (newSessionId !== '' && !UUID.test(newSessionId)) throw cloneIdUnreadable(newSessionId);
  if (CONTROL_CHARACTER.test(userId)) throw unreadable('its user_id has control characters');
  return {
    sessionId,
    userId,
    newSessionId: newSessionId || undefined,
    allowReconnect,
    messageBytes: bytes,
  };
}

/** With the name that Spark's own refusal has, and, as there, the id that it is about. */
function cloneIdUnreadable(newSessionId: string): GatewayError {
  return new GatewayError(
    'REQUEST_UNREADABLE',
    `[INVALID_CLONE_SESSION_REQUEST.TARGET_SESSION_ID_FORMAT] The new session id ${quote(newSessionId)} is not a UUID in lower case. ` +
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
  /**
   * What an owner's token that has expired is still good for, for a while: to finish a query that began
   * with it, or to release the session. Left out: for nothing.
   */
  readonly afterExpiry?: 'query' | 'session';
  /**
   * Its message is small by nature, and decided on as a whole: one of which only the beginning is seen,
   * or behind which more comes, is refused. The others carry plans and files of any size: what comes
   * behind their first bytes is the driver's to compare with what authz stamps.
   */
  readonly isWhole: boolean;
  /** What it is of a query, if it is part of one that counts for the limits of the policy. */
  readonly query?: 'begins' | 'resumes';
  /** The string field that names a second session, of this one's driver. */
  readonly newSessionField?: number;
  /** The bool field that says whether the client means to come back. */
  readonly allowReconnectField?: number;
}

const methods: readonly SparkMethod[] = [
  { name: 'Config', mayCreate: true, isWhole: false },
  { name: 'AnalyzePlan', mayCreate: true, isWhole: false },
  { name: 'ExecutePlan', mayCreate: true, isWhole: false, query: 'begins' },
  { name: 'AddArtifacts', mayCreate: true, isWhole: false },
  { name: 'ArtifactStatus', mayCreate: true, isWhole: false },
  {
    name: 'ReattachExecute',
    mayCreate: false,
    afterExpiry: 'query',
    isWhole: true,
    query: 'resumes',
  },
  { name: 'ReleaseExecute', mayCreate: false, afterExpiry: 'query', isWhole: true },
  {
    name: 'ReleaseSession',
    mayCreate: false,
    afterExpiry: 'session',
    isWhole: true,
    allowReconnectField: 4,
  },
  { name: 'Interrupt', mayCreate: false, afterExpiry: 'query', isWhole: true },
  { name: 'FetchErrorDetails', mayCreate: false, afterExpiry: 'query', isWhole: true },
  { name: 'CloneSession', mayCreate: false, isWhole: true, newSessionField: 4 },
  { name: 'GetStatus', mayCreate: false, isWhole: true },
];

const byPath = new Map(
  methods.map((method) => [`/${SPARK_CONNECT_SERVICE}/${method.name}`, method]),
);

/** The method of a gRPC path; undefined for a path that is not one of Spark Connect's. */
export function sparkMethod(path: string): SparkMethod | undefined {
  return byPath.get(path);
}

// Inflates the first bytes of compressed gRPC messages: each once, and no further than it is read.

/** zlib.h, inflateInit2: the largest window, and a gzip header before it. */
const GZIP_WINDOW_BITS = 15 + 16;
const NOTHING = new Uint8Array(0);

export interface InflatedPrefix {
  readonly bytes: Buffer;
  /** Whether `bytes` is all that the input holds: one gzip member, and nothing behind it. */
  readonly whole: boolean;
}

/**
 * zlib in JavaScript, because that of Node hands out nothing of what is too large: it would have to be
 * begun again with less. Its tables are made once; they hold nothing of a message before.
 */
export class PrefixInflater {
  readonly #stream = new ZStream();

  constructor() {
    zlibInflateInit2(this.#stream, GZIP_WINDOW_BITS);
  }

  /**
   * Inflates as much of `compressed`, the beginning of a compressed message, as fits into
   * `BODY_PREFIX_BYTES`. `encoding` is the request's `grpc-encoding`. Throws REQUEST_UNREADABLE for an
   * encoding other than gzip, the only one that Spark's servers read, and for data that is not gzip.
   */
  inflate(compressed: Buffer, encoding: string | undefined): InflatedPrefix {
    if (encoding !== 'gzip') throw unknownEncoding(encoding);
    const stream = this.#stream;
    const output = Buffer.allocUnsafe(BODY_PREFIX_BYTES);
    zlibInflateReset(stream);
    stream.input = compressed;
    stream.next_in = 0;
    stream.avail_in = compressed.length;
    stream.output = output;
    stream.next_out = 0;
    stream.avail_out = BODY_PREFIX_BYTES;
    const status = zlibInflate(stream, Z_SYNC_FLUSH);
    stream.input = NOTHING;
    stream.output = NOTHING;
    if (status !== Z_OK && status !== Z_STREAM_END) {
      throw new GatewayError(
        'REQUEST_UNREADABLE',
        'The request says that it is compressed with gzip, but its data is not.',
      );
    }
    return {
      bytes: output.subarray(0, stream.next_out),
      whole: status === Z_STREAM_END && stream.avail_in === 0,
    };
  }
}

function unknownEncoding(encoding: string | undefined): GatewayError {
  const named =
    encoding === undefined
      ? 'no encoding named in grpc-encoding'
      : JSON.stringify(encoding.slice(0, 32));
  return new GatewayError(
    'REQUEST_UNREADABLE',
    `The request is compressed with ${named}; Spark Connect reads gzip. Use that, or no compression.`,
  );
}
