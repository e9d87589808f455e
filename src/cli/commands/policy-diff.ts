/** `policy diff`. */
import { readNamedText } from '../../lib/files/files.js';
import { GatewayError } from '../../model/errors.js';
import {
  isPolicyDiff,
  type PolicyDiff,
  type PolicyDiffAnswer,
  type AccessChange,
  type FieldChange,
  type NamespaceChange,
  type PolicyOutcome,
  type RuleChange,
  type UnknownSession,
} from '../../model/policy-diff.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { type Shown, type Column, renderTable, type TableStyle } from '../render.js';

export const policyDiff: OnlineCommand = {
  name: 'policy diff',
  about:
    'What a policy would change for the sessions and people of now. Exit code 1 if it would change anything.',
  operands: '<file>',
  settingsOf: 'operator',
  online: true,
  show,
};

/** Throws POLICY_INVALID with every mistake, as `policy validate` does. */
async function show({ client, operands }: OnlineContext): Promise<Shown> {
  const [file = ''] = operands;
  const text = await readNamedText(file, 'POLICY_INVALID', 'this file');
  const answer = await client.post<PolicyDiffAnswer>('policy/diff', text, 'application/yaml');
  if (!isPolicyDiff(answer)) {
    const named = answer.problems.map((problem) => problem.replace(/^candidate(?=:)/, file));
    throw new GatewayError('POLICY_INVALID', named.join('\n'));
  }
  return {
    value: answer,
    people: (style) => renderPolicyDiff(answer, style),
    differs: !changesNothing(answer),
  };
}

/** Nothing is known to change, and nobody is left of whom it cannot be said. */
function changesNothing({ counts }: PolicyDiff): boolean {
  const { gained, lost, moved, namespaces, rules, unknown } = counts;
  return gained + lost + moved + namespaces + rules + unknown === 0;
}

// What a policy would change, for people.

const SHORT_ID = 8;

const accessColumns = (wide: boolean): readonly Column<AccessChange>[] => [
  { title: 'ACCESS', value: ({ change }) => change },
  { title: 'SESSION', value: ({ session = '' }) => shownId(session, wide) },
  { title: 'PRINCIPAL', value: ({ principal }) => principal.subject },
  { title: 'ISSUER', value: ({ principal }) => principal.issuer, wide: true },
  { title: 'BEFORE', value: ({ before }) => outcome(before) },
  { title: 'AFTER', value: ({ after }) => outcome(after) },
  { title: 'WHY', value: ({ before, after }) => (after.refusal ?? before.refusal)?.message ?? '' },
];

const namespaceColumns: readonly Column<FieldChange & NamespaceChange>[] = [
  { title: 'NAMESPACE', value: ({ namespace }) => namespace },
  { title: 'SESSIONS', value: ({ sessions }) => String(sessions) },
  { title: 'POOL', value: ({ pool }) => pool },
  { title: 'FIELD', value: ({ field }) => field },
  { title: 'BEFORE', value: ({ before = '' }) => before },
  { title: 'AFTER', value: ({ after = '' }) => after },
];

const ruleColumns: readonly Column<RuleChange>[] = [
  { title: 'RULES OF', value: ({ part }) => part },
  { title: 'CHANGE', value: ({ change }) => change },
  { title: 'RULE', value: ({ rule }) => rule },
];

const unknownColumns = (wide: boolean): readonly Column<UnknownSession>[] => [
  { title: 'NOT KNOWN', value: ({ session }) => shownId(session, wide) },
  { title: 'PRINCIPAL', value: ({ principal }) => principal.subject },
  { title: 'NAMESPACE', value: ({ namespace }) => namespace },
];

/** Ends with a line break. */
function renderPolicyDiff(diff: PolicyDiff, style: TableStyle): string {
  const { candidate, changes, counts, namespaces, rules, unknown, version } = diff;
  const { gained, lost, moved, people, sessions } = counts;
  const table = <Row>(columns: readonly Column<Row>[], rows: readonly Row[]): readonly string[] =>
    rows.length === 0 ? [] : [renderTable(columns, rows, style, '')];
  const fields = namespaces.flatMap((of) => of.fields.map((field) => ({ ...of, ...field })));
  const summary = [
    `From policy ${version} to ${candidate}, for ${counted(sessions, 'session')} and ${counted(people, 'further request')}: ` +
      `${lost} lost, ${gained} gained, ${moved} moved; ${counted(counts.namespaces, 'namespace')} changed.`,
    ...(counts.rules === 0
      ? []
      : [`${counted(counts.rules, 'rule')} about batch jobs changed: running jobs go on.`]),
    ...(counts.unknown === 0
      ? []
      : [
          `Of ${counted(counts.unknown, 'more session')} it cannot be said yet: no sidecar has told who asks.`,
        ]),
  ];
  return [
    ...table(accessColumns(style.wide), changes),
    ...table(namespaceColumns, fields),
    ...table(ruleColumns, rules),
    ...table(unknownColumns(style.wide), unknown),
    `${summary.join('\n')}\n`,
  ].join('\n');
}

function outcome({ namespace, refusal }: PolicyOutcome): string {
  return refusal?.code ?? `allowed in ${namespace}`;
}

function shownId(id: string, wide: boolean): string {
  return wide ? id : id.slice(0, SHORT_ID);
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
