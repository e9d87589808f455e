/**
 * Which settings a request of the Config RPC touches, read from the first bytes of its body
 * (ConfigRequest in spark/connect/base.proto, 3.5 to 4.x).
 *
 * A parser of protobuf takes the last of several operations; here each of them counts, so that none
 * can hide behind another.
 */
import type { ConfigRequest } from '../model/policy.js';
import type { MessagePrefix } from './request.js';
import { MalformedMessage, WireReader, WireType } from '../lib/protobuf/wire.js';

const OPERATION_FIELD = 3;
const OperationField = {
  set: 1,
  get: 2,
  get_with_default: 3,
  get_option: 4,
  get_all: 5,
  unset: 6,
  is_modifiable: 7,
} as const;
/** `keys` or `pairs` of every operation, and `prefix` of get_all. */
const KEYS_FIELD = 1;
const KEY_OF_PAIR_FIELD = 1;

interface Found {
  readonly reads: string[];
  readonly writes: string[];
  readonly lists: string[];
  whole: boolean;
}

/** For a message that `readSparkRequest` has read. An operation that cannot be read may do anything. */
export function readConfigRequest({ bytes, length }: MessagePrefix): ConfigRequest {
  const found: Found = { reads: [], writes: [], lists: [], whole: true };
  try {
    eachField(new WireReader(bytes, 0, length, bytes.length), found, (request) => {
      if (request.field !== OPERATION_FIELD) return;
      eachField(within(bytes, request), found, (operation) =>
        readOperation(bytes, operation, found),
      );
    });
  } catch (error) {
    if (!(error instanceof MalformedMessage)) throw error;
    found.whole = false;
  }
  return found;
}

function readOperation(bytes: Buffer, operation: WireReader, found: Found): void {
  const reader = within(bytes, operation);
  switch (operation.field) {
    case OperationField.set:
      return readPairs(bytes, reader, found, found.writes);
    case OperationField.unset:
      return readKeys(bytes, reader, found, found.writes);
    case OperationField.get:
    case OperationField.get_option:
      return readKeys(bytes, reader, found, found.reads);
    case OperationField.get_with_default:
      return readPairs(bytes, reader, found, found.reads);
    case OperationField.get_all: {
      const prefixes: string[] = [];
      readKeys(bytes, reader, found, prefixes);
      // The last one counts; which that is does not matter to those who list the shortest.
      found.lists.push(...(prefixes.length === 0 ? [''] : prefixes));
      return;
    }
    case OperationField.is_modifiable:
      return;
    default:
      // An operation of a later version may do anything.
      found.whole = false;
  }
}

function readKeys(bytes: Buffer, reader: WireReader, found: Found, into: string[]): void {
  eachField(reader, found, (field) => {
    if (field.field === KEYS_FIELD) pushText(bytes, field, into);
  });
}

function readPairs(bytes: Buffer, reader: WireReader, found: Found, into: string[]): void {
  eachField(reader, found, (pair) => {
    if (pair.field !== KEYS_FIELD) return;
    eachField(within(bytes, pair), found, (part) => {
      if (part.field === KEY_OF_PAIR_FIELD) pushText(bytes, part, into);
    });
  });
}

/** A text that is cut is left out. */
function pushText(bytes: Buffer, { start, end }: WireReader, into: string[]): void {
  if (end <= bytes.length) into.push(bytes.toString('utf8', start, end));
}

/** Visits the length-delimited fields, the last one also if it is cut. Notes when the message goes on beyond the bytes at hand. */
function eachField(reader: WireReader, found: Found, visit: (field: WireReader) => void): void {
  for (;;) {
    const step = reader.next();
    if (step === 'end') return;
    if (step === 'cut') found.whole = false;
    const isRead = reader.wireType === WireType.BYTES && reader.field > 0;
    if (isRead && (step === 'field' || reader.end !== Infinity)) visit(reader);
    if (step === 'cut') return;
  }
}

function within(bytes: Buffer, field: WireReader): WireReader {
  return new WireReader(bytes, field.start, field.end, bytes.length);
}
