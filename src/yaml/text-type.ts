/** Values that are written as one piece of text, in a file, an environment variable or an argument. */
import { resolve } from 'node:path';
import { isLoopback } from '../model/address.js';

/** What JSON Schema can say of a value that is written as text. */
export type TextForm =
  | { readonly type: 'string'; readonly pattern?: string; readonly maxLength?: number }
  | { readonly type: 'integer'; readonly minimum: number; readonly maximum: number }
  | { readonly type: 'boolean' };

export interface TextType<T> {
  /** What may be written, to be put behind "allowed: ". */
  readonly allowed: string;
  /** The values, where there are only a few. */
  readonly choices?: readonly string[];
  /** Left out: any text. It may allow more than `parse`, never less. */
  readonly form?: TextForm;
  /** undefined: not allowed. A relative path is resolved against `base`, the directory of its file. */
  parse(text: string, base: string): T | undefined;
}

export function textType<T>(
  allowed: string,
  parse: (text: string, base: string) => T | undefined,
  form: TextForm = { type: 'string' },
): TextType<T> {
  return { allowed, parse, form };
}

/** Text that a regular expression describes; it must begin with ^ and end with $. `maxLength`: what it allows at most, for programs. */
export function matching(
  allowed: string,
  expression: RegExp,
  maxLength?: number,
): TextType<string> {
  return textType(allowed, (text) => (expression.test(text) ? text : undefined), {
    type: 'string',
    pattern: expression.source,
    ...(maxLength === undefined ? {} : { maxLength }),
  });
}

export const plainText = textType('text', (text) => (text.trim() === '' ? undefined : text), {
  type: 'string',
  pattern: '\\S',
});

export const boolean: TextType<boolean> = {
  allowed: 'true or false',
  choices: ['true', 'false'],
  form: { type: 'boolean' },
  parse: (text) => (text === 'true' ? true : text === 'false' ? false : undefined),
};

export function choice<const C extends string>(...choices: readonly C[]): TextType<C> {
  return {
    allowed: choices.join(', ').replace(/, ([^,]*)$/, ' or $1'),
    choices,
    parse: (text) => choices.find((candidate) => candidate === text),
  };
}

export function integer(least: number, most?: number): TextType<number> {
  const range = most === undefined ? `of at least ${least}` : `from ${least} to ${most}`;
  const maximum = most ?? Number.MAX_SAFE_INTEGER;
  return textType(
    `a whole number ${range}`,
    (text) => {
      if (!/^-?\d{1,15}$/.test(text)) return undefined;
      const value = Number(text);
      return value >= least && value <= maximum ? value : undefined;
    },
    { type: 'integer', minimum: least, maximum },
  );
}

/** A path of the file system, made absolute. */
export const path = textType('a path', (text, base) =>
  text.trim() === '' || text.includes('\0') ? undefined : resolve(base, text),
);

/** A token issuer or its documents: whoever can change them in transit can sign tokens. */
export const issuerUrl = textType(
  'a URL that starts with https://, or http:// for a loopback address',
  (text) => {
    const parsed = URL.canParse(text) ? new URL(text) : undefined;
    if (!parsed || parsed.hash !== '' || parsed.username !== '') return undefined;
    if (parsed.protocol === 'https:') return text;
    return parsed.protocol === 'http:' && isLoopback(parsed.hostname) ? text : undefined;
  },
  { type: 'string', pattern: '^https?://' },
);
