/** The policy in force, and what was in force before. */
import type { PolicyRevisionView, PolicyView } from '../../model/admin-api.js';
import { type DiffLine, diffLines } from './text-diff.js';
import { Fetched } from './fetched.js';
import { dateAndTime } from '../../lib/page/format.js';
import { setQuery } from '../../lib/page/navigation.js';
import { Facts, Title } from '../../lib/page/parts.js';

export function Policy({ policy }: { readonly policy: PolicyView }) {
  return (
    <>
      <Title>Policy in force</Title>
      <PolicyNavigation />
      {policy.problem === undefined ? null : (
        <section class="problems" aria-label="Mistakes">
          <h2>{policy.source} is not good; what is shown here stays in force</h2>
          <pre>{policy.problem}</pre>
        </section>
      )}
      <Facts
        facts={[
          ['Version', <span class="mono">{policy.version}</span>],
          ['From', <span class="mono">{policy.source}</span>],
          ['In force since', dateAndTime(policy.loadedAt)],
        ]}
      />
      <Text text={policy.text} />
    </>
  );
}

export function PolicyNavigation() {
  return (
    <nav class="tabs" aria-label="Policy">
      <a href="/policy">In force</a>
      <a href="/policy/history">History</a>
      <a href="/policy/explain">Explain a request</a>
      <a href="/policy/try">Try a policy</a>
      <a href="/policy/shadow">Tried out</a>
    </nav>
  );
}

function Text({ text }: { readonly text: string }) {
  return (
    <div class="code scroll" tabIndex={0} role="region" aria-label="Text of the policy">
      <table>
        <tbody>
          {text
            .trimEnd()
            .split('\n')
            .map((line, at) => (
              <tr key={at}>
                <td class="line-number">{at + 1}</td>
                <td class="line-text">{line}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </div>
  );
}

export interface PolicyHistoryProps {
  readonly policy: PolicyView;
  readonly query: URLSearchParams;
}

export function PolicyHistory({ policy, query }: PolicyHistoryProps) {
  return (
    <>
      <Title>History of the policy</Title>
      <PolicyNavigation />
      <Fetched<readonly PolicyRevisionView[]>
        key={policy.version}
        path="policy/history"
        show={(revisions) => <Revisions revisions={revisions} query={query} />}
      />
    </>
  );
}

function Revisions(props: {
  readonly revisions: readonly PolicyRevisionView[];
  readonly query: URLSearchParams;
}) {
  const { revisions, query } = props;
  const [newest, former] = revisions;
  if (!newest) return <p class="empty">None is known.</p>;
  const find = (version: string | null) =>
    revisions.find((revision) => revision.version === version);
  const after = find(query.get('after')) ?? newest;
  const before = find(query.get('before')) ?? former ?? newest;
  const sideBySide = query.get('as') === 'columns';
  return (
    <>
      <form class="choices" onSubmit={(event) => event.preventDefault()}>
        <Choice name="before" label="From" chosen={before} revisions={revisions} />
        <Choice name="after" label="to" chosen={after} revisions={revisions} />
        <label>
          <input
            type="checkbox"
            checked={sideBySide}
            onChange={(event) => setQuery({ as: event.currentTarget.checked ? 'columns' : '' })}
          />{' '}
          Side by side
        </label>
      </form>
      {revisions.length === 1 ? (
        <p class="empty">It has not changed since this replica started.</p>
      ) : (
        <Difference lines={diffLines(before.text, after.text)} sideBySide={sideBySide} />
      )}
    </>
  );
}

function Choice(props: {
  readonly name: string;
  readonly label: string;
  readonly chosen: PolicyRevisionView;
  readonly revisions: readonly PolicyRevisionView[];
}) {
  const { name, label, chosen, revisions } = props;
  return (
    <label>
      {label}{' '}
      <select
        value={chosen.version}
        onChange={(event) => setQuery({ [name]: event.currentTarget.value })}
      >
        {revisions.map(({ version, loadedAt }, at) => (
          <option key={version} value={version}>
            {`${dateAndTime(loadedAt)}  ${version.slice(0, 12)}${at === 0 ? '  (in force)' : ''}`}
          </option>
        ))}
      </select>
    </label>
  );
}

const MARKS = { same: ' ', removed: '−', added: '+' } as const;
/** Lines without changes that are shown around those with. */
const CONTEXT = 4;

function Difference(props: { readonly lines: readonly DiffLine[]; readonly sideBySide: boolean }) {
  const { lines, sideBySide } = props;
  const changes = lines.filter(({ kind }) => kind !== 'same').length;
  if (changes === 0) return <p class="empty">They are the same.</p>;
  const shown = aroundChanges(lines);
  return (
    <div class="code diff scroll" tabIndex={0} role="region" aria-label="Differences">
      <table>
        <tbody>
          {sideBySide
            ? pairs(shown).map(([left, right], at) => (
                <tr key={at}>
                  <Side line={left} />
                  <Side line={right} />
                </tr>
              ))
            : shown.map((line, at) =>
                line === undefined ? (
                  <tr key={at} class="gap">
                    <td colSpan={4}>⋯</td>
                  </tr>
                ) : (
                  <tr key={at} class={line.kind}>
                    <td class="line-number">{line.before}</td>
                    <td class="line-number">{line.after}</td>
                    <td class="mark">{MARKS[line.kind]}</td>
                    <td class="line-text">{line.text}</td>
                  </tr>
                ),
              )}
        </tbody>
      </table>
    </div>
  );
}

function Side({ line }: { readonly line: DiffLine | undefined | 'gap' }) {
  if (line === 'gap')
    return (
      <td class="gap" colSpan={2}>
        ⋯
      </td>
    );
  if (!line) return <td class="nothing" colSpan={2} />;
  return (
    <>
      <td class={`line-number ${line.kind}`}>{line.kind === 'added' ? line.after : line.before}</td>
      <td class={`line-text ${line.kind}`}>{line.text}</td>
    </>
  );
}

/** undefined stands for lines that are left out. */
function aroundChanges(lines: readonly DiffLine[]): readonly (DiffLine | undefined)[] {
  const near = new Set<number>();
  for (const [at, { kind }] of lines.entries()) {
    if (kind === 'same') continue;
    for (let other = at - CONTEXT; other <= at + CONTEXT; other += 1) near.add(other);
  }
  return lines.flatMap((line, at) => {
    if (near.has(at)) return [line];
    return at === 0 || near.has(at - 1) ? [undefined] : [];
  });
}

type Side = DiffLine | undefined | 'gap';

/** Removed lines stand beside those that were added in their place. */
function pairs(lines: readonly (DiffLine | undefined)[]): readonly (readonly [Side, Side])[] {
  const rows: (readonly [Side, Side])[] = [];
  let removed: DiffLine[] = [];
  let added: DiffLine[] = [];
  const flush = () => {
    for (let at = 0; at < Math.max(removed.length, added.length); at += 1) {
      rows.push([removed[at], added[at]]);
    }
    removed = [];
    added = [];
  };
  for (const line of lines) {
    if (line?.kind === 'removed') removed.push(line);
    else if (line?.kind === 'added') added.push(line);
    else {
      flush();
      rows.push(line ? [line, line] : ['gap', 'gap']);
    }
  }
  flush();
  return rows;
}
