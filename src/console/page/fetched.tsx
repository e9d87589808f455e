/** What is asked for once, when a view opens. */
import { Component, type ComponentChildren } from 'preact';
import { messageOf } from '../../lib/page/request.js';
import { get } from './api-client.js';

interface Props<T> {
  /** Below /api/v1/. */
  readonly path: string;
  readonly show: (value: T) => ComponentChildren;
}

interface State<T> {
  readonly value?: T;
  readonly error?: string;
}

export class Fetched<T> extends Component<Props<T>, State<T>> {
  override componentDidMount(): void {
    void this.#ask();
  }

  override componentDidUpdate({ path }: Props<T>): void {
    if (path !== this.props.path) void this.#ask();
  }

  override render({ show }: Props<T>, { value, error }: State<T>): ComponentChildren {
    if (error !== undefined) return <p class="empty">{error}</p>;
    if (value === undefined) return <p class="empty">Loading …</p>;
    return show(value);
  }

  async #ask(): Promise<void> {
    const { path } = this.props;
    let next: State<T>;
    try {
      next = { value: await get<T>(path) };
    } catch (error) {
      next = { error: messageOf(error) };
    }
    if (path === this.props.path) this.setState(next);
  }
}
