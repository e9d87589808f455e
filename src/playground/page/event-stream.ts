/** Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream. */

export interface ServerEvent {
  readonly name: string;
  readonly data: string;
  /** Given with this event. */
  readonly id: string | undefined;
}

/** The text of a stream, in pieces that may end anywhere. */
export class EventStreamParser {
  #rest = '';
  #name = '';
  #data: string[] = [];
  #id: string | undefined;
  /** What the server asked to be waited for before the next connection, milliseconds. */
  retryMs: number | undefined;

  /** The events that are whole with this piece. */
  push(piece: string): readonly ServerEvent[] {
    const text = this.#rest + piece;
    // A \r at the end may be the first half of a line's end.
    const whole = text.endsWith('\r') ? text.slice(0, -1) : text;
    const lines = whole.split(/\r\n|\r|\n/);
    this.#rest = (lines.pop() ?? '') + text.slice(whole.length);
    return lines.flatMap((line) => this.#line(line));
  }

  #line(line: string): readonly ServerEvent[] {
    if (line === '') return this.#dispatch();
    const colon = line.indexOf(':');
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.#name = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'id' && !value.includes('\0')) this.#id = value;
    else if (field === 'retry' && /^\d+$/.test(value)) this.retryMs = Number(value);
    return [];
  }

  #dispatch(): readonly ServerEvent[] {
    const event = { name: this.#name || 'message', data: this.#data.join('\n'), id: this.#id };
    const isEmpty = this.#data.length === 0;
    this.#name = '';
    this.#data = [];
    this.#id = undefined;
    return isEmpty ? [] : [event];
  }
}
