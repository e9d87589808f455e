import { GatewayError } from '../model/errors.js';
import { isObject } from '../model/json.js';

/** The fields of a body that holds a JSON object, or nothing. Throws ARGUMENT_INVALID for any other and for fields that are not among `names`. */
export function jsonBody<Name extends string>(
  body: Buffer,
  names: readonly Name[],
): Partial<Record<Name, unknown>> {
  const text = body.toString('utf8');
  if (text.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new GatewayError('ARGUMENT_INVALID', 'The body is not JSON.', { cause: error });
  }
  const fields: Partial<Record<Name, unknown>> = {};
  for (const [key, field] of isObject(value) ? Object.entries(value) : [['', undefined]]) {
    const name = names.find((known) => known === key);
    if (name === undefined) {
      throw new GatewayError(
        'ARGUMENT_INVALID',
        `The body may hold ${names.map((known) => `"${known}"`).join(', ')} and nothing else.`,
      );
    }
    fields[name] = field;
  }
  return fields;
}
