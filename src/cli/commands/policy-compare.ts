/** `policy compare`. */
import { type CaseResult, namespaceIn, tryCase } from '../../policy/cases.js';
import { type Invocation, type LocalCommand, printShown } from '../command.js';
import { outputOption } from '../options.js';
import { loadCases, loadPolicy } from '../policy-cases.js';
import { renderTable } from '../render.js';
import { EXIT_FAILED } from '../report.js';

export const policyCompare: LocalCommand = {
  name: 'policy compare',
  about: 'Shows the cases of which two policies make something else. Exit code 1 if there are any.',
  operands: '<old> <new> <cases>',
  options: [outputOption],
  settingsOf: 'authz',
  run: compare,
};

/** Prints the cases of which the two make something else. */
async function compare(invocation: Invocation): Promise<number> {
  const [before = '', after = '', casesFile = ''] = invocation.operands;
  const settings = await invocation.settings();
  const [old, next] = [await loadPolicy(before, settings), await loadPolicy(after, settings)];
  const cases = await loadCases(casesFile);
  const changes = cases
    .map((entry) => ({ now: tryCase(old, entry), later: tryCase(next, entry) }))
    .filter(({ now, later }) => outcomeOf(now) !== outcomeOf(later))
    .map(({ now, later }) => ({
      name: later.name,
      line: later.line,
      before: outcomeOf(now),
      after: outcomeOf(later),
      message: later.explanation.refusal?.message ?? '',
    }));
  const columns = [
    { title: 'CASE', value: ({ name }: (typeof changes)[number]) => name },
    { title: 'BEFORE', value: (change: (typeof changes)[number]) => change.before },
    { title: 'AFTER', value: (change: (typeof changes)[number]) => change.after },
    { title: 'WHY', value: ({ message }: (typeof changes)[number]) => message },
  ];
  const nothing = `None of ${cases.length} cases changes.`;
  printShown(invocation, {
    value: { changes },
    people: (style) => renderTable(columns, changes, style, nothing),
  });
  return changes.length === 0 ? 0 : EXIT_FAILED;
}

function outcomeOf({ explanation }: CaseResult): string {
  return explanation.refusal?.code ?? `allowed in ${namespaceIn(explanation)}`;
}
