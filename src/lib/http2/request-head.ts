/** The header fields of one request, as far as a gRPC server reads them. */
import { ANSWER_HEADER } from '../../model/names.js';
import { HpackDecoder } from './hpack-decoder.js';

/** About one connection only, so never in HTTP/2 (RFC 9113, section 8.2.2). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
/** SETTINGS_MAX_HEADER_LIST_SIZE of this side. */
export const MAX_HEADER_LIST_BYTES = 64 * 1024;

export class RequestHead {
  method: string | undefined;
  path: string | undefined;
  contentType = '';
  grpcTimeout: string | undefined;
  traceparent: string | undefined;
  /** What it is to be answered with (`ANSWER_HEADER`). */
  answer: string | undefined;
  contentLength: number | undefined;
  #scheme: string | undefined;
  #authority: string | undefined;
  #regular = false;
  #malformed = false;
  #bytes = 0;

  /** Whether a server must refuse the request (RFC 9113, section 8.1.1). */
  get malformed(): boolean {
    return (
      this.#malformed ||
      this.method === undefined ||
      this.path === undefined ||
      this.path === '' ||
      this.#scheme === undefined
    );
  }

  get tooLarge(): boolean {
    return this.#bytes > MAX_HEADER_LIST_BYTES;
  }

  add(name: string, value: string): void {
    this.#bytes += name.length + value.length + 32;
    if (this.tooLarge) return;
    if (name.startsWith(':')) this.#addPseudo(name, value);
    else {
      this.#regular = true;
      this.#addRegular(name, value);
    }
  }

  #addPseudo(name: string, value: string): void {
    let former;
    if (name === ':path') [former, this.path] = [this.path, value];
    else if (name === ':method') [former, this.method] = [this.method, value];
    else if (name === ':scheme') [former, this.#scheme] = [this.#scheme, value];
    else if (name === ':authority') [former, this.#authority] = [this.#authority, value];
    else this.#malformed = true;
    if (former !== undefined || this.#regular) this.#malformed = true;
  }

  #addRegular(name: string, value: string): void {
    switch (name) {
      case 'content-type':
        this.contentType = value;
        return;
      case 'grpc-timeout':
        this.grpcTimeout = value;
        return;
      case 'traceparent':
        this.traceparent = value;
        return;
      case ANSWER_HEADER:
        this.answer = value;
        return;
      case 'content-length':
        if (/^\d{1,15}$/.test(value)) this.contentLength = Number(value);
        else this.#malformed = true;
        return;
      case 'te':
        if (value !== 'trailers') this.#malformed = true;
        return;
      default:
        if (CONNECTION_FIELDS.has(name) || UPPER_CASE.test(name)) this.#malformed = true;
    }
  }
}

const UPPER_CASE = /[A-Z]/;

// Reads the header blocks of one connection.

/**
 * A peer that asks one thing sends the same block again and again: that is read once, for as long as
 * the table that it refers to stays what it was.
 */
export class RequestHeads {
  readonly #decoder = new HpackDecoder();
  #block: Buffer | undefined;
  /** The decoder's when the block was read, before and after. */
  #revision = -1;
  #head = new RequestHead();

  /** Throws CompressionError. */
  read(block: Buffer): RequestHead {
    const { revision } = this.#decoder;
    if (revision === this.#revision && this.#block?.equals(block)) return this.#head;
    const head = new RequestHead();
    this.#decoder.decode(block, (name, value) => head.add(name, value));
    if (this.#decoder.revision === revision) {
      this.#block = Buffer.from(block);
      this.#revision = revision;
      this.#head = head;
    }
    return head;
  }
}
