/** `policy test` and `policy compare`: what policies on this machine make of a table of cases. */
import { readFile } from 'node:fs/promises';
import { compileTemplates } from '../../discovery/kubernetes/template-file.js';
import { readNamedText } from '../../lib/files/files.js';
import { GatewayError } from '../../model/errors.js';
import type { Policy } from '../../model/policy.js';
import { type CaseResult, type PolicyCase, readCases, tryCase } from '../../policy/cases.js';
import { compilePolicy } from '../../policy/compile.js';
import { policyOptions } from '../../settings/policy-options.js';
import type { Settings } from '../../settings/table.js';
import { isOutputForm, renderShown, type Shown, renderTable, type TableStyle } from '../render.js';

/** Prints the cases that fail. Resolves with whether there is none. */
export async function testPolicy(
  [policyFile = '', casesFile = '']: readonly string[],
  settings: Settings,
  output: string,
): Promise<boolean> {
  const [policy, cases] = [await load(policyFile, settings), await loadCases(casesFile)];
  const results = cases.map((entry) => tryCase(policy, entry));
  const failed = results.filter(({ passed }) => !passed);
  print({ value: { results }, people: (style) => failures(results, failed, style) }, output);
  return failed.length === 0;
}

/** Prints the cases of which the two make something else. Resolves with whether there is none. */
export async function comparePolicies(
  [before = '', after = '', casesFile = '']: readonly string[],
  settings: Settings,
  output: string,
): Promise<boolean> {
  const [old, next] = [await load(before, settings), await load(after, settings)];
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
  print(
    { value: { changes }, people: (style) => renderTable(columns, changes, style, nothing) },
    output,
  );
  return changes.length === 0;
}

function outcomeOf({ explanation }: CaseResult): string {
  const { refusal, target } = explanation;
  return refusal?.code ?? `allowed in ${target?.namespace}`;
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
  return refusal?.message ?? steps.find(({ step }) => step === 'access')?.reason ?? '';
}

async function load(file: string, settings: Settings): Promise<Policy> {
  return compilePolicy(await read(file), file, policyOptions(settings));
}

async function loadCases(file: string): Promise<readonly PolicyCase[]> {
  return readCases(await read(file), file);
}

function read(file: string): Promise<string> {
  return readNamedText(file, 'POLICY_INVALID', 'this file');
}

function print(shown: Shown, output: string): void {
  const form = isOutputForm(output) ? output : 'table';
  process.stdout.write(renderShown(shown, form, undefined));
}

// `policy validate`, and what `settings validate` reads beside the settings.

/** Prints a line for each file that is good with these settings. Rejects with POLICY_INVALID that holds every mistake of the others. */
export async function validatePolicies(
  files: readonly string[],
  settings: Settings,
): Promise<void> {
  const options = policyOptions(settings);
  const problems: string[] = [];
  for (const file of files) {
    try {
      const { version } = compilePolicy(await readFile(file, 'utf8'), file, options);
      process.stdout.write(`${file}: good, version ${version}\n`);
    } catch (thrown) {
      problems.push(thrown instanceof GatewayError ? thrown.message : `${file}: ${String(thrown)}`);
    }
  }
  if (problems.length > 0) {
    throw new GatewayError('POLICY_INVALID', problems.join('\n'));
  }
}

/** Rejects with SETTINGS_INVALID that holds every mistake of the driver templates that the settings name. */
export async function validateTemplates({ drivers, sessionTtlMs }: Settings): Promise<void> {
  const { templatesFile } = drivers.kubernetes;
  if (drivers.source !== 'kubernetes' || templatesFile === undefined) return;
  const text = await readNamedText(
    templatesFile,
    'SETTINGS_INVALID',
    'the file of driver templates',
  );
  compileTemplates(text, templatesFile, sessionTtlMs);
}
