/** The sessions of whoever looks, which they may end without a role. */
import type { SessionAnswer, SessionView } from '../../model/admin-api.js';
import { messageOf } from '../../lib/page/request.js';
import { get, post } from './api-client.js';
import { Ago, For } from '../../lib/page/parts.js';
import { Component, type ComponentChildren } from 'preact';
import { PlainTable } from '../../lib/page/table.js';

interface Props {
  readonly forgeryToken: string;
  readonly nowMs: number;
}

interface State {
  readonly sessions?: readonly SessionView[];
  /** Asked for once, and to be confirmed. */
  readonly chosen?: string | undefined;
  readonly said?: string;
}

const LOOK_AGAIN_MS = 5_000;

export class OwnSessions extends Component<Props, State> {
  #timer = 0;

  override componentDidMount(): void {
    void this.#look();
  }

  override componentWillUnmount(): void {
    clearTimeout(this.#timer);
  }

  override render({ nowMs }: Props, { sessions, chosen, said = '' }: State): ComponentChildren {
    return (
      <>
        <p role="status">{said}</p>
        {sessions ? (
          <PlainTable
            label="Your sessions"
            rows={sessions}
            keyOf={({ id }) => id}
            empty="You have no session now."
            columns={[
              { title: 'Session', cell: ({ id }) => <span class="mono">{id}</span> },
              { title: 'Where', cell: ({ namespace }) => namespace },
              {
                title: 'Since',
                cell: ({ createdAt }) => <For since={createdAt} nowMs={nowMs} />,
              },
              {
                title: 'Last RPC',
                cell: ({ lastActivityAt }) => <Ago at={lastActivityAt} nowMs={nowMs} />,
              },
              {
                title: 'Running',
                cell: ({ runningQueries }) => runningQueries ?? '–',
                numeric: true,
              },
              {
                title: 'End it',
                cell: ({ id }) =>
                  chosen === id ? (
                    <button type="button" class="danger" onClick={() => void this.#release(id)}>
                      Release it: what it holds is lost
                    </button>
                  ) : (
                    <button type="button" onClick={() => this.setState({ chosen: id })}>
                      Release …
                    </button>
                  ),
              },
            ]}
          />
        ) : (
          <p class="empty">Loading …</p>
        )}
      </>
    );
  }

  async #look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      this.setState({ sessions: await get<readonly SessionView[]>('me/sessions') });
    } catch (error) {
      this.setState({ said: messageOf(error) });
    }
    this.#timer = setTimeout(() => void this.#look(), LOOK_AGAIN_MS);
  }

  async #release(id: string): Promise<void> {
    const path = `me/sessions/${encodeURIComponent(id)}/release`;
    try {
      const { end } = await post<SessionAnswer>(path, {}, this.props.forgeryToken);
      this.setState({ chosen: undefined, said: `Session ${id} has ended (${end}).` });
    } catch (error) {
      this.setState({ said: messageOf(error) });
    }
    await this.#look();
  }
}
