/** A job's log. It follows the end until somebody scrolls up. */
import { Component, type ComponentChildren, createRef } from 'preact';
import { count } from '../../lib/page/format.js';
import { Card } from '../../lib/page/parts.js';
import type { Log } from './log-buffer.js';
import type { LogConnection } from './log-stream.js';

interface Props {
  readonly log: Log;
  readonly connection: LogConnection;
}

interface State {
  readonly paused?: boolean;
}

/** Pixels from the end at which it still counts as the end. */
const NEAR_END = 8;

export class LogView extends Component<Props, State> {
  readonly #box = createRef<HTMLDivElement>();
  #top = 0;

  override componentDidMount(): void {
    this.#toEnd();
  }

  override componentDidUpdate(): void {
    if (!this.state.paused) this.#toEnd();
  }

  override render({ log, connection }: Props, { paused = false }: State): ComponentChildren {
    return (
      <Card title="Log" wide>
        <div class="log-tools">
          <span class="count">
            {log.dropped ? 'the last ' : ''}
            {count(log.lines, 'line')}
          </span>
          <span role="status">{wordOf(connection)}</span>
          {paused ? (
            <button type="button" onClick={() => this.#resume()}>
              Paused; follow again
            </button>
          ) : null}
        </div>
        <div
          class="log"
          ref={this.#box}
          tabIndex={0}
          role="region"
          aria-label="Log"
          onScroll={() => this.#scrolled()}
          onWheel={({ deltaY }) => {
            if (deltaY < 0) this.#pause();
          }}
          onKeyDown={({ key }) => {
            if (['ArrowUp', 'PageUp', 'Home'].includes(key)) this.#pause();
          }}
          onPointerDown={() => this.#pause()}
          onTouchMove={() => this.#pause()}
        >
          {log.lines === 0 ? (
            <p class="empty">Nothing has been written yet.</p>
          ) : (
            <pre>
              {log.blocks.map(({ key, text }) => (
                <span key={key}>{text}</span>
              ))}
            </pre>
          )}
        </div>
      </Card>
    );
  }

  /** Somebody reads, or selects: what is written now must not move it. */
  #pause(): void {
    const box = this.#box.current;
    if (box && box.scrollHeight > box.clientHeight) this.setState({ paused: true });
  }

  #scrolled(): void {
    const box = this.#box.current;
    if (!box || !this.state.paused) return;
    const toEnd = box.scrollHeight - box.scrollTop - box.clientHeight;
    // Selecting at the end does not scroll; only a way down leads back.
    if (toEnd <= NEAR_END && box.scrollTop > this.#top) this.setState({ paused: false });
    this.#top = box.scrollTop;
  }

  #resume(): void {
    this.setState({ paused: false });
    this.#box.current?.focus();
  }

  #toEnd(): void {
    const box = this.#box.current;
    if (!box) return;
    box.scrollTop = box.scrollHeight;
    this.#top = box.scrollTop;
  }
}

function wordOf(connection: LogConnection): string {
  switch (connection.kind) {
    case 'opening':
      return 'Opening …';
    case 'following':
      return 'Following';
    case 'lost':
      return 'The connection is lost; trying again';
    case 'ended':
      return 'Complete';
    case 'signed out':
      return 'Your session is over';
    case 'refused':
      return connection.message;
  }
}
