/** The header fields of one request, as far as a gRPC server reads them. */

/** About one connection only, so never in HTTP/2 (RFC 9113, section 8.2.2). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
/** A token in lower case (RFC 9110, section 5.6.2; RFC 9113, section 8.2.1). */
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
/** RFC 9113, section 8.2.1: what could end a field, and space around it. */
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const BAD_VALUE = /[\0\r\n]|^[ \t]|[ \t]$/;
/** SETTINGS_MAX_HEADER_LIST_SIZE of this side. */
export const MAX_HEADER_LIST_BYTES = 64 * 1024;

export class RequestHead {
  method: string | undefined;
  path: string | undefined;
  contentType = '';
  grpcTimeout: string | undefined;
  traceparent: string | undefined;
  /** Fields that begin with `x-`, by their names: what the application agreed on with its peer. */
  readonly extensions = new Map<string, string>();
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
    if (BAD_VALUE.test(value)) this.#malformed = true;
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
      case 'content-length':
        this.#addContentLength(value);
        return;
      case 'te':
        if (value !== 'trailers') this.#malformed = true;
        return;
      default:
        if (CONNECTION_FIELDS.has(name) || !NAME.test(name)) this.#malformed = true;
        else if (name.startsWith('x-')) this.extensions.set(name, value);
    }
  }

  #addContentLength(value: string): void {
    const length = /^\d{1,15}$/.test(value) ? Number(value) : undefined;
    if (length === undefined || length !== (this.contentLength ?? length)) this.#malformed = true;
    else this.contentLength = length;
  }
}
