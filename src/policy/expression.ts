/**
 * Conditions of access rules in CEL (https://cel.dev), parsed and type-checked when the policy is
 * loaded. What one may cost is bounded by its length, by the size of the token, and by these rules:
 * no macro within another, and no `matches`, whose regular expressions may take exponential time.
 */
import { type ASTNode, Environment, ParseError, type ParseResult } from '@marcbachmann/cel-js';
import type { Target } from '../model/policy.js';
import type { Caller } from '../model/principal.js';
import { textType } from '../lib/yaml/text-types.js';

const LONGEST = 1000;
/** Groups and values of claims, all lists counted. A list may be searched once for each of its items. */
const MOST_VALUES = 1000;
const MACROS = new Set(['all', 'exists', 'exists_one', 'map', 'filter', 'bind']);

export const expressionText = textType(
  `a CEL expression of at most ${LONGEST} characters over caller (subject, issuer, groups, claims), team, environment and host`,
  (written) => (written.trim() === '' || written.length > LONGEST ? undefined : written),
  { type: 'string', pattern: '\\S' },
);

/** Why an expression gave no answer. */
export class NoAnswer {
  /** Such as `no_such_key`: one of a few. */
  readonly code: string;
  readonly message: string;

  constructor(code: string, message: string) {
    this.code = code;
    this.message = message;
  }
}

export interface Expression {
  readonly text: string;
  evaluate(caller: Caller, target: Target, host: string): boolean | NoAnswer;
}

/** What is wrong with an expression. */
export class ExpressionProblem {
  readonly message: string;

  constructor(message: string) {
    this.message = message;
  }
}

const environment = new Environment({
  limits: {
    maxAstNodes: 300,
    maxDepth: 30,
    maxListElements: 200,
    maxMapEntries: 50,
    maxCallArguments: 8,
  },
})
  .registerVariable({
    name: 'caller',
    schema: {
      subject: 'string',
      issuer: 'string',
      groups: 'list<string>',
      claims: 'map<string, dyn>',
    },
  })
  .registerVariable('team', 'string')
  .registerVariable('environment', 'string')
  .registerVariable('host', 'string');

export function compileExpression(text: string): Expression | ExpressionProblem {
  let parsed: ParseResult;
  try {
    parsed = environment.parse(text);
    refuseCostly(parsed.ast, false);
  } catch (error) {
    if (error instanceof ParseError) return problem(text, error.summary, error.range?.start);
    if (error instanceof TooCostly) return problem(text, error.message, error.at);
    throw error;
  }
  const { error, type, valid } = parsed.check();
  if (!valid) return problem(text, error?.summary ?? 'it has no type', error?.range?.start);
  if (type !== 'bool') {
    return problem(text, `it must be true or false, but is of type ${type}`, 0);
  }
  return {
    text,
    evaluate(caller, target, host) {
      if (tooManyValues(caller)) {
        return new NoAnswer('too_many_values', `the token has more than ${MOST_VALUES} values`);
      }
      const { groups, claims } = caller;
      const context = {
        caller: { ...caller.principal, groups, claims },
        team: target.team,
        environment: target.environment,
        host,
      };
      try {
        return parsed(context) === true;
      } catch (thrown) {
        return noAnswer(thrown);
      }
    },
  };
}

function noAnswer(thrown: unknown): NoAnswer {
  if (!(thrown instanceof Error)) return new NoAnswer('evaluation_error', String(thrown));
  const code = 'code' in thrown ? String(thrown.code) : 'evaluation_error';
  const summary = 'summary' in thrown ? String(thrown.summary) : thrown.message;
  return new NoAnswer(code, summary);
}

function problem(text: string, message: string, at = 0): ExpressionProblem {
  const near = text.slice(at).trim().slice(0, 30);
  const where = near === '' ? 'at its end' : `at ${JSON.stringify(near)}`;
  return new ExpressionProblem(`the expression is not good ${where}: ${message}`);
}

class TooCostly extends Error {
  readonly at: number;

  constructor(message: string, at: number) {
    super(message);
    this.at = at;
  }
}

/** Throws TooCostly. */
function refuseCostly(node: ASTNode, within: boolean): void {
  let inside = within;
  if (node.op === 'call' || node.op === 'rcall') {
    const name = node.args[0];
    if (name === 'matches') {
      throw new TooCostly(
        'matches is not supported; use startsWith, endsWith, contains or ==',
        node.start,
      );
    }
    if (MACROS.has(name)) {
      if (within) throw new TooCostly(`${name} must not be within another macro`, node.start);
      inside = true;
    }
  }
  for (const child of children(node.args)) refuseCostly(child, inside);
}

/** The nodes in whatever a node holds: nodes, lists of them, texts and values. */
function* children(held: unknown): Generator<ASTNode> {
  if (Array.isArray(held)) {
    for (const item of held) yield* children(item);
  } else if (isNode(held)) {
    yield held;
  }
}

function isNode(held: unknown): held is ASTNode {
  return typeof held === 'object' && held !== null && 'op' in held && 'args' in held;
}

const counted = new WeakMap<Caller, boolean>();

function tooManyValues(caller: Caller): boolean {
  const known = counted.get(caller);
  if (known !== undefined) return known;
  const found = caller.groups.length + valuesIn(caller.claims) > MOST_VALUES;
  counted.set(caller, found);
  return found;
}

function valuesIn(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  let total = 0;
  for (const item of Object.values(value)) total += valuesIn(item);
  return total;
}
