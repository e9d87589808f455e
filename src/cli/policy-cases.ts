/** What `policy test` and `policy compare` share: policies and tables of cases on this machine. */
import { readNamedText } from '../lib/files/files.js';
import type { Policy } from '../model/policy.js';
import { type PolicyCase, readCases } from '../policy/cases.js';
import { compilePolicy } from '../policy/compile.js';
import { policyOptions } from '../settings/policy-options.js';
import type { Settings } from '../settings/table.js';

export async function loadPolicy(file: string, settings: Settings): Promise<Policy> {
  return compilePolicy(await read(file), file, policyOptions(settings));
}

export async function loadCases(file: string): Promise<readonly PolicyCase[]> {
  return readCases(await read(file), file);
}

function read(file: string): Promise<string> {
  return readNamedText(file, 'POLICY_INVALID', 'this file');
}
