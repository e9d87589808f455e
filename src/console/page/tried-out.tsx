/** What is tried out and not enforced: a candidate policy, and rules in shadow mode. */
import type { ShadowView } from '../../model/admin-api.js';
import { Component, type ComponentChildren } from 'preact';
import { Fetched } from './fetched.js';
import { count, dateAndTime } from '../../lib/page/format.js';
import { Card, Title } from '../../lib/page/parts.js';
import { PolicyNavigation } from './policy.js';
import { PlainTable } from '../../lib/page/table.js';

interface State {
  /** How often it was asked for. */
  readonly asked: number;
}

export class TriedOut extends Component<object, State> {
  override state: State = { asked: 1 };

  override render(_: object, { asked }: State): ComponentChildren {
    return (
      <>
        <Title>Tried out</Title>
        <PolicyNavigation />
        <div class="actions">
          <button type="button" onClick={() => this.setState({ asked: asked + 1 })}>
            Look again
          </button>
        </div>
        <Fetched<ShadowView>
          key={`${asked}`}
          path="policy/shadow"
          show={(shadow) => <Shadow shadow={shadow} />}
        />
      </>
    );
  }
}

const SOURCES = { policy: 'candidate', rule: 'rule in shadow mode' } as const;

function Shadow({ shadow: { candidates, counts, examples } }: { readonly shadow: ShadowView }) {
  return (
    <>
      {candidates.map(({ problem, sidecars, version }) =>
        problem === undefined ? null : (
          <section key={problem} class="problems" aria-label="Mistakes">
            <h2>
              The candidate of {count(sidecars, 'sidecar', 'sidecars')} is not good
              {version === '' ? '' : `; ${version} is tried out`}
            </h2>
            <pre>{problem}</pre>
          </section>
        ),
      )}
      <Card title="Candidates" wide>
        <PlainTable
          label="Candidates"
          rows={candidates.filter(({ version }) => version !== '')}
          keyOf={({ version, problem = '' }) => `${version} ${problem}`}
          empty="No sidecar that the leader knows tries a candidate out (policy_shadow_file), or this replica does not lead."
          columns={[
            { title: 'Version', cell: ({ version }) => <span class="mono">{version}</span> },
            { title: 'Sidecars', cell: ({ sidecars }) => sidecars, numeric: true },
          ]}
        />
      </Card>
      <Card title="Requests" wide>
        <PlainTable
          label="Requests"
          rows={counts}
          keyOf={({ code, source, would }) => `${source} ${would} ${code}`}
          empty="None was decided by it so far."
          columns={[
            { title: 'By', cell: ({ source }) => SOURCES[source] },
            { title: 'Would', cell: ({ would }) => (would === 'same' ? 'decide the same' : would) },
            { title: 'Code', cell: ({ code }) => (code === 'OK' ? '' : code) },
            { title: 'Requests', cell: (one) => one.count.toLocaleString('en'), numeric: true },
          ]}
        />
      </Card>
      <Card title="Newest examples" wide>
        <PlainTable
          label="Newest examples"
          rows={examples}
          keyOf={(example) => `${examples.indexOf(example)}`}
          empty="Nothing was decided otherwise."
          columns={[
            { title: 'At', cell: ({ at }) => dateAndTime(at) },
            { title: 'Principal', cell: ({ principal }) => principal.subject },
            { title: 'Request', cell: ({ method }) => method },
            { title: 'Would', cell: ({ code, would }) => (code === 'OK' ? would : code) },
            { title: 'By', cell: ({ by }) => by },
            { title: 'Why', cell: ({ message }) => message },
          ]}
        />
      </Card>
    </>
  );
}
