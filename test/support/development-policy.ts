import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/** The policy of config/development with pools of its own: theirs keep more drivers ready than a test needs. */
export function developmentPolicy(...pools: readonly object[]): object {
  const text = readFileSync(join(process.cwd(), 'config/development/policy.yaml'), 'utf8');
  return { ...(parse(text) as object), pools };
}
