/** A policy as a custom resource holds it, compiled as a file would be. */
import { stringify } from 'yaml';
import { GatewayError } from '../../model/errors.js';
import { fromJson } from '../../yaml/json-value.js';
import { type CheckedPolicy, checkParsed, type PolicyOptions } from '../compile.js';
import { API_VERSION } from '../document.js';
import { KIND, LONGEST_DOCUMENT } from './crd.js';

/** Throws POLICY_INVALID whose message holds every mistake with its path, such as `spec.access[3].what`. */
export function compileSpec(spec: object, options: PolicyOptions): CheckedPolicy {
  const document = { ...spec, apiVersion: API_VERSION, kind: KIND };
  const text = stringify(
    { apiVersion: API_VERSION, kind: KIND, ...spec },
    { aliasDuplicateObjects: false },
  );
  if (text.length > LONGEST_DOCUMENT) {
    throw new GatewayError(
      'POLICY_INVALID',
      `spec: ${text.length} characters as YAML are too many; a resource may have ${LONGEST_DOCUMENT}`,
    );
  }
  const value = fromJson(document, 'spec');
  return checkParsed({ value, wellFormed: true, problems: [] }, text, options, '/');
}
