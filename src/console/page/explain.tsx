/** Why a request would be allowed or refused. */
import type { Explanation } from '../../model/policy.js';
import { Component, type ComponentChildren } from 'preact';
import { ApiError } from '../../lib/page/request.js';
import { post } from './api-client.js';
import { PolicyNavigation } from './policy.js';
import { Card, Facts, Title } from '../../lib/page/parts.js';
import { State as StateWord } from './parts.js';
import { PlainTable } from '../../lib/page/table.js';

interface Props {
  readonly forgeryToken: string;
  /** The issuer of whoever looks, which is most often the one that is meant. */
  readonly issuer: string;
}

interface State {
  readonly explanation?: Explanation | undefined;
  readonly error?: string | undefined;
  readonly asking?: boolean;
}

interface Field {
  readonly name: string;
  readonly label: string;
  readonly hint?: string;
  readonly required?: boolean;
}

const FIELDS: readonly Field[] = [
  { name: 'principal', label: 'Who', hint: 'alice@example.com', required: true },
  { name: 'groups', label: 'Groups', hint: 'everyone, data-engineers' },
  { name: 'team', label: 'Team' },
  { name: 'environment', label: 'Environment', hint: 'dev' },
  { name: 'host', label: 'Host', hint: 'spark-dev.example.com' },
  { name: 'userId', label: 'user_id', hint: 'of the connection string' },
  { name: 'claims', label: 'Further claims', hint: '{"team": "data"}' },
];

export class Explain extends Component<Props, State> {
  override render(
    { issuer }: Props,
    { explanation, error, asking = false }: State,
  ): ComponentChildren {
    return (
      <>
        <Title>Explain a request</Title>
        <PolicyNavigation />
        <form
          class="explain"
          onSubmit={(event) => {
            event.preventDefault();
            void this.#ask(new FormData(event.currentTarget));
          }}
        >
          {FIELDS.map(({ name, label, hint = '', required = false }) => (
            <label key={name}>
              <span>
                {label}
                {required ? ' *' : ''}
              </span>
              <input
                name={name}
                placeholder={hint}
                required={required}
                autocomplete="off"
                spellcheck={false}
              />
            </label>
          ))}
          <label>
            <span>Issuer</span>
            <input name="issuer" defaultValue={issuer} autocomplete="off" spellcheck={false} />
          </label>
          <div class="actions">
            <button type="submit" class="primary" disabled={asking}>
              Explain
            </button>
          </div>
        </form>
        <div aria-live="polite">
          {error === undefined ? null : <p class="problems">{error}</p>}
          {explanation ? <Explained explanation={explanation} /> : null}
        </div>
      </>
    );
  }

  async #ask(form: FormData): Promise<void> {
    this.setState({ asking: true });
    try {
      const explanation = await post<Explanation>(
        'policy/explain',
        requestOf(form),
        this.props.forgeryToken,
      );
      this.setState({ explanation, error: undefined, asking: false });
    } catch (error) {
      const message =
        error instanceof ApiError || error instanceof SyntaxError
          ? error.message
          : 'It cannot be explained.';
      this.setState({ explanation: undefined, error: message, asking: false });
    }
  }
}

/** Throws a SyntaxError for claims that are not JSON. */
function requestOf(form: FormData): Readonly<Record<string, unknown>> {
  const request: Record<string, unknown> = {};
  for (const [name, value] of form) {
    if (typeof value !== 'string' || value.trim() === '') continue;
    request[name] = value.trim();
  }
  const { groups, claims } = request;
  if (typeof groups === 'string') request['groups'] = groups.split(/[\s,]+/).filter(Boolean);
  if (typeof claims === 'string') {
    try {
      request['claims'] = JSON.parse(claims);
    } catch {
      throw new SyntaxError('Further claims must be JSON, such as {"team": "data"}.');
    }
  }
  return request;
}

function Explained({ explanation }: { readonly explanation: Explanation }) {
  const { allowed, refusal, caller, target, steps, rules, administration } = explanation;
  return (
    <>
      <section class={allowed ? 'verdict good' : 'verdict bad'}>
        <h2>{allowed ? 'Allowed' : `Refused: ${refusal?.code ?? ''}`}</h2>
        {refusal ? <p>{refusal.message}</p> : null}
      </section>
      <Facts
        facts={[
          ['Who', caller.subject],
          ['Groups', caller.groups.join(', ') || 'none'],
          target
            ? [
                'Goes to',
                `team ${target.team}, environment ${target.environment}, ${target.namespace}`,
              ]
            : undefined,
          ['Role in this console', administration],
        ]}
      />
      <Card title="Step by step" wide>
        <PlainTable
          label="Steps"
          rows={steps}
          keyOf={({ step }) => step}
          empty=""
          columns={[
            { title: 'Step', cell: ({ step }) => step.replaceAll('_', ' ') },
            { title: 'Outcome', cell: ({ outcome }) => <StateWord state={outcome} /> },
            { title: 'Why', cell: ({ reason }) => reason },
          ]}
        />
      </Card>
      <Card title="Access rules" wide>
        <PlainTable
          label="Access rules"
          rows={rules}
          keyOf={(rule) => `${rule.number}`}
          empty="They were not reached."
          columns={[
            { title: 'Rule', cell: (rule) => rule.number, numeric: true },
            { title: 'Name', cell: ({ name = '' }) => name },
            { title: 'Line', cell: ({ line = '' }) => line, numeric: true },
            { title: 'Allows', cell: ({ allows }) => (allows ? 'yes' : 'no') },
            { title: 'Why', cell: ({ reason }) => reason },
          ]}
        />
      </Card>
    </>
  );
}
