/** Options of a submission: what is said of a run beside its manifest. */
import { didYouMean, quote } from '../lib/yaml/problem.js';
import { boolean, integer, textType, type TextType } from '../lib/yaml/text-types.js';
import { GatewayError } from '../model/errors.js';

export interface JobOptions {
  /** The same again, of the same user, team and environment, is the same job. */
  readonly clientRequestId: string | undefined;
  /** SQL must not write, and sinks write into the job's own folder; undefined: not said. */
  readonly sandbox: boolean | undefined;
  /** The share of the rows of each source, above 0 and at most 1. */
  readonly sampling: number | undefined;
  /** The job is ended when it is this old, and forgotten by its cluster this long after its end. */
  readonly ttlSeconds: number | undefined;
}

export const ttlSeconds = integer(60, 86_400);

const optionTypes = {
  client_request_id: textType('1 to 128 printable characters of ASCII without spaces', (text) =>
    /^[\x21-\x7e]{1,128}$/.test(text) ? text : undefined,
  ),
  sandbox_mode: boolean,
  data_sampling: textType('a number above 0 and at most 1, such as 0.1', (text) => {
    const value = /^(0?\.\d{1,15}|[01](\.0{1,15})?)$/.test(text) ? Number(text) : 0;
    return value > 0 && value <= 1 ? value : undefined;
  }),
  ttl_seconds: ttlSeconds,
};
export const optionNames: readonly string[] = Object.keys(optionTypes);

/** Throws OPTION_INVALID that says every mistake. */
export function parseOptions(options: Readonly<Record<string, string>>): JobOptions {
  const problems = Object.keys(options)
    .filter((name) => !optionNames.includes(name))
    .map((name) => {
      const hint = didYouMean(name, optionNames) || `; there are ${optionNames.join(', ')}`;
      return `${quote(name)} is no option${hint}`;
    });
  const read = <T>(name: keyof typeof optionTypes, type: TextType<T>): T | undefined => {
    const text = Object.hasOwn(options, name) ? options[name] : undefined;
    const value = text === undefined ? undefined : type.parse(text, '');
    if (text !== undefined && value === undefined) {
      problems.push(`the option ${name} is ${quote(text)}, which is not ${type.allowed}`);
    }
    return value;
  };
  const parsed: JobOptions = {
    clientRequestId: read('client_request_id', optionTypes.client_request_id),
    sandbox: read('sandbox_mode', optionTypes.sandbox_mode),
    sampling: read('data_sampling', optionTypes.data_sampling),
    ttlSeconds: read('ttl_seconds', optionTypes.ttl_seconds),
  };
  if (problems.length > 0) throw new GatewayError('OPTION_INVALID', problems.join('\n'));
  return parsed;
}
