/** A policy as a person wrote it, in a file or in a custom resource. */
import { type CheckedPolicy, checkPolicy, type PolicyOptions } from '../compile.js';
import { compileSpec } from '../kubernetes/spec.js';

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
