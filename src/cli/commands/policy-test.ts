/** `policy test`. */
import { type CaseResult, tryCase } from '../../policy/cases.js';
import { type Invocation, type LocalCommand, printShown } from '../command.js';
import { outputOption } from '../options.js';
import { loadCases, loadPolicy } from '../policy-cases.js';
import { renderTable, type TableStyle } from '../render.js';
import { EXIT_FAILED } from '../report.js';

export const policyTest: LocalCommand = {
  name: 'policy test',
  about:
    'Tries a policy with a table of cases, and shows those that come out otherwise. Exit code 1 if there are any.',
  operands: '<policy> <cases>',
  options: [outputOption],
  settingsOf: 'authz',
  run: tryCases,
};

/** Prints the cases that fail. */
async function tryCases(invocation: Invocation): Promise<number> {
  const [policyFile = '', casesFile = ''] = invocation.operands;
  const settings = await invocation.settings();
  const [policy, cases] = [await loadPolicy(policyFile, settings), await loadCases(casesFile)];
  const results = cases.map((entry) => tryCase(policy, entry));
  const failed = results.filter(({ passed }) => !passed);
  printShown(invocation, {
    value: { results },
    people: (style) => failures(results, failed, style),
  });
  return failed.length === 0 ? 0 : EXIT_FAILED;
}

function failures(
  results: readonly CaseResult[],
  failed: readonly CaseResult[],
  style: TableStyle,
): string {
  const columns = [
    { title: 'LINE', value: ({ line }: CaseResult) => String(line ?? '') },
    { title: 'CASE', value: ({ name }: CaseResult) => name },
    { title: 'EXPECTED', value: ({ expected }: CaseResult) => expected },
    { title: 'GOT', value: ({ got }: CaseResult) => got },
    { title: 'WHY', value: ({ explanation }: CaseResult) => whyOf(explanation) },
  ];
  const table = failed.length === 0 ? '' : renderTable(columns, failed, style, '');
  return `${table}${results.length - failed.length} of ${results.length} cases are as expected.\n`;
}

function whyOf({ refusal, steps }: CaseResult['explanation']): string {
  const allowing = steps.find(({ step }) => step === 'access' || step === 'submit');
  return refusal?.message ?? allowing?.reason ?? '';
}
