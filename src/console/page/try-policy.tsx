/** What another policy would change for the sessions and people of now. */
import type {
  AccessChange,
  PolicyDiff,
  PolicyDiffAnswer,
  PolicyOutcome,
  RuleChange,
} from '../../model/policy-diff.js';
import { Component, type ComponentChildren } from 'preact';
import { messageOf } from '../../lib/page/request.js';
import { postText } from './api-client.js';
import { count } from '../../lib/page/format.js';
import { Card, Title } from '../../lib/page/parts.js';
import { SessionLink, State as StateWord } from './parts.js';
import { PolicyNavigation } from './policy.js';
import { PlainTable } from '../../lib/page/table.js';

interface Props {
  readonly forgeryToken: string;
}

interface State {
  readonly answer?: PolicyDiffAnswer | undefined;
  readonly error?: string | undefined;
  readonly asking?: boolean;
}

export class TryPolicy extends Component<Props, State> {
  override render(_: Props, { answer, error, asking = false }: State): ComponentChildren {
    return (
      <>
        <Title>Try a policy</Title>
        <PolicyNavigation />
        <form
          class="candidate"
          onSubmit={(event) => {
            event.preventDefault();
            const text = new FormData(event.currentTarget).get('policy');
            if (typeof text === 'string') void this.#ask(text);
          }}
        >
          <label>
            <span>
              A policy, as it would be written in its file. Nothing of it is put in force.
            </span>
            <textarea
              name="policy"
              rows={14}
              required
              autocomplete="off"
              spellcheck={false}
              placeholder="apiVersion: spark-gateway/v1alpha1"
            />
          </label>
          <div class="actions">
            <button type="submit" class="primary" disabled={asking}>
              {asking ? 'Comparing …' : 'Show what would change'}
            </button>
          </div>
        </form>
        <div aria-live="polite">
          {error === undefined ? null : <p class="problems">{error}</p>}
          {answer === undefined ? null : 'changes' in answer ? (
            <Changes diff={answer} />
          ) : (
            <section class="problems" aria-label="Mistakes">
              <h2>This policy is not good</h2>
              <pre>{answer.problems.join('\n')}</pre>
            </section>
          )}
        </div>
      </>
    );
  }

  async #ask(text: string): Promise<void> {
    this.setState({ asking: true });
    try {
      const answer = await postText<PolicyDiffAnswer>(
        'policy/diff',
        text,
        'application/yaml',
        this.props.forgeryToken,
      );
      this.setState({ answer, error: undefined, asking: false });
    } catch (error) {
      this.setState({ answer: undefined, error: messageOf(error), asking: false });
    }
  }
}

function Changes({ diff }: { readonly diff: PolicyDiff }) {
  const { candidate, changes, counts, namespaces, rules, unknown, version } = diff;
  const nothing = changes.length + namespaces.length + rules.length + unknown.length === 0;
  return (
    <>
      <section class={counts.lost === 0 ? 'verdict good' : 'verdict bad'}>
        <h2>{nothing ? 'Nothing would change' : verdictOf(counts)}</h2>
        <p>
          From {version} to {candidate}, for {count(counts.sessions, 'session', 'sessions')} and{' '}
          {count(counts.people, 'further request', 'further requests')}.
        </p>
      </section>
      <Card title="Access" wide>
        <PlainTable<AccessChange>
          label="Access"
          rows={changes}
          keyOf={(change) => `${changes.indexOf(change)}`}
          empty="Everybody keeps what they have."
          columns={[
            { title: 'Change', cell: ({ change }) => <StateWord state={change} /> },
            {
              title: 'Session',
              cell: ({ session }) => (session === undefined ? '' : <SessionLink id={session} />),
            },
            { title: 'Principal', cell: ({ principal }) => principal.subject },
            { title: 'Before', cell: ({ before }) => outcome(before) },
            { title: 'After', cell: ({ after }) => outcome(after) },
            {
              title: 'Why',
              cell: ({ before, after }) => (after.refusal ?? before.refusal)?.message ?? '',
            },
          ]}
        />
      </Card>
      <Card title="Namespaces" wide>
        <PlainTable
          label="Namespaces"
          rows={namespaces.flatMap((of) => of.fields.map((field) => ({ ...of, ...field })))}
          keyOf={({ namespace, field }) => `${namespace} ${field}`}
          empty="No pool, quota or limit changes."
          columns={[
            { title: 'Namespace', cell: ({ namespace }) => namespace },
            { title: 'Sessions', cell: ({ sessions }) => sessions, numeric: true },
            { title: 'Pool', cell: ({ pool }) => pool },
            { title: 'Field', cell: ({ field }) => field },
            { title: 'Before', cell: ({ before = '' }) => before },
            { title: 'After', cell: ({ after = '' }) => after },
          ]}
        />
      </Card>
      {rules.length === 0 ? null : (
        <Card title="Rules about batch jobs" wide>
          <PlainTable<RuleChange>
            label="Rules about batch jobs"
            rows={rules}
            keyOf={(rule) => `${rules.indexOf(rule)}`}
            empty=""
            columns={[
              { title: 'Part', cell: ({ part }) => part },
              { title: 'Change', cell: ({ change }) => change },
              { title: 'Rule', cell: ({ rule }) => rule },
            ]}
          />
        </Card>
      )}
      {unknown.length === 0 ? null : (
        <Card title="Sessions of which no sidecar has told who asks" wide>
          <PlainTable
            label="Not known"
            rows={unknown}
            keyOf={({ session }) => session}
            empty=""
            columns={[
              { title: 'Session', cell: ({ session }) => <SessionLink id={session} /> },
              { title: 'Principal', cell: ({ principal }) => principal.subject },
              { title: 'Namespace', cell: ({ namespace }) => namespace },
            ]}
          />
        </Card>
      )}
    </>
  );
}

function verdictOf(counts: PolicyDiff['counts']): string {
  const { gained, lost, moved, namespaces, rules, unknown } = counts;
  return [
    `${lost} lost, ${gained} gained, ${moved} moved`,
    count(namespaces, 'namespace changed', 'namespaces changed'),
    ...(rules === 0 ? [] : [count(rules, 'rule about batch jobs', 'rules about batch jobs')]),
    ...(unknown === 0 ? [] : [`${unknown} not known`]),
  ].join('; ');
}

function outcome({ namespace, refusal }: PolicyOutcome): string {
  return refusal?.code ?? `allowed in ${namespace ?? ''}`;
}
