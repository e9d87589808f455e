/** A policy that was found good, as it goes from the thread that checked it to the one that decides by it. */
import { Reader } from '../../lib/yaml/schema.js';
import type { Policy } from '../../model/policy.js';
import {
  type CheckedPolicy,
  compileDocument,
  type PolicyOptions,
  checkPolicy,
} from '../compile.js';
import type { AccessEntry, PolicyDocument } from '../document.js';
import type { Steps } from '../match.js';
import { compileSpec } from '../sources/policy-resource-schema.js';

type Line = number | null;

/** Lines are those of the entries that are named by them. */
export interface GoodPolicy {
  readonly version: string;
  readonly text: string;
  /** Without its access rules. */
  readonly document: PolicyDocument;
  readonly configRuleLines: readonly Line[];
  /** JSON of `[rule, line]`, many in each: it is read in steps, and faster than structured clones. */
  readonly access: readonly string[];
}

const RULES_IN_PIECE = 500;

export function toGoodPolicy({ policy, text, document, reader }: CheckedPolicy): GoodPolicy {
  const lineOf = (entry: object): Line => reader.placeOf(entry)?.line ?? null;
  const rules = document.access.map((entry) => [entry, lineOf(entry)]);
  const access: string[] = [];
  for (let at = 0; at < rules.length; at += RULES_IN_PIECE) {
    access.push(JSON.stringify(rules.slice(at, at + RULES_IN_PIECE)));
  }
  const configRuleLines = document.config_rules.map(lineOf);
  return {
    version: policy.version,
    text,
    document: { ...document, access: [] },
    configRuleLines,
    access,
  };
}

/** The same policy as the one that was checked, with the observer of these options. */
export function* fromGoodPolicy(
  { version, document, access, configRuleLines }: GoodPolicy,
  options: PolicyOptions,
): Steps<Policy> {
  const reader = new Reader('/');
  const remember = (entry: object, line: Line | undefined) => {
    const place = { source: '', ...(typeof line === 'number' ? { line } : {}) };
    reader.remember(entry, place, new Map());
  };
  for (const [i, rule] of document.config_rules.entries()) remember(rule, configRuleLines[i]);
  const rules: AccessEntry[] = [];
  for (const piece of access) {
    yield;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by toGoodPolicy
    for (const [rule, line] of JSON.parse(piece) as readonly (readonly [AccessEntry, Line])[]) {
      remember(rule, line);
      rules.push(rule);
    }
  }
  const policy = yield* compileDocument({ ...document, access: rules }, options, version, reader);
  const [problem] = reader.problems;
  if (problem) throw new Error(`it was good, and is not any more: ${problem.message}`);
  return policy;
}

// A policy as a person wrote it, in a file or in a custom resource.

/** `file` is shown in messages. */
export type WrittenPolicy =
  { readonly text: string; readonly file: string } | { readonly spec: object };

/** Characters, about. */
export function lengthOf(written: WrittenPolicy): number {
  return 'spec' in written ? JSON.stringify(written.spec).length : written.text.length;
}

/** Throws POLICY_INVALID whose message holds every mistake, one on each line. */
export function checkWritten(written: WrittenPolicy, options: PolicyOptions): CheckedPolicy {
  return 'spec' in written
    ? compileSpec(written.spec, options)
    : checkPolicy(written.text, written.file, options);
}
