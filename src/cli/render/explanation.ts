/** Why a request is allowed or refused, for people. */
import type { Explanation } from '../../model/explanation.js';
import { printable } from './table.js';

/** Ends with a line break. */
export function renderExplanation(explanation: Explanation): string {
  const { allowed, caller, policyVersion, refusal, rules, steps, target } = explanation;
  const width = Math.max(...steps.map(({ step }) => step.length));
  const groups = caller.groups.length === 0 ? '' : `, groups ${caller.groups.join(', ')}`;
  const lines = [
    `${caller.subject} (${caller.issuer}${groups}) is ${allowed ? 'allowed' : 'refused'}${target ? ` in ${target.namespace}` : ''} by policy ${policyVersion}.`,
    ...(refusal ? [`${refusal.code}: ${refusal.message}`] : []),
    '',
    ...steps.map(({ step, outcome, reason }) =>
      `  ${step.padEnd(width)}  ${outcome}${reason === '' ? '' : `: ${reason}`}`.trimEnd(),
    ),
    ...(rules.length === 0 ? [] : ['', 'Rules:']),
    ...rules.map(({ number, name, line, allows, reason }) => {
      const title = name === undefined ? '' : ` ${name}`;
      const place = line === undefined ? '' : ` (line ${line})`;
      return `  ${number}${title}${place}: ${allows ? 'allows; ' : ''}${reason}`;
    }),
  ];
  return `${lines.map(cleaned).join('\n')}\n`;
}

/** Keeps the indentation. */
function cleaned(line: string): string {
  const indentation = /^ */.exec(line)?.[0] ?? '';
  return indentation + printable(line);
}
