/** Values that are written as one piece of text, in a file, an environment variable or an argument. */
import { isLoopback } from '../../model/address.js';

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

/**
 * Text that a regular expression describes; it must begin with ^ and end with $. An API server reads it,
 * too, by the rules of RE2: it counts up to 1000 (https://github.com/google/re2/wiki/Syntax). More is a
 * matter of `maxLength`.
 */
export function matching(
  allowed: string,
  expression: RegExp,
  maxLength?: number,
): TextType<string> {
  const fits = (text: string) => maxLength === undefined || text.length <= maxLength;
  return textType(allowed, (text) => (fits(text) && expression.test(text) ? text : undefined), {
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

// Durations and sizes: numbers that are always written with their unit.

const MS_PER_UNIT: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};
const BYTES_PER_UNIT: Readonly<Record<string, number>> = {
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** Timers of Node hold 31 bits of milliseconds. */
const LONGEST_MS = 2 ** 31 - 1;

export interface Duration extends TextType<number> {
  readonly unit: 'Ms';
}

export interface Size extends TextType<number> {
  readonly unit: 'Bytes';
}

/** Milliseconds, written as `500ms`, `30s`, `5m`, `1h30m` or `1d`. */
export function duration(least: string, most?: string): Duration {
  const leastMs = parseDuration(least) ?? 0;
  const mostMs = most === undefined ? LONGEST_MS : (parseDuration(most) ?? LONGEST_MS);
  const range = most === undefined ? `at least ${least}` : `from ${least} to ${most}`;
  return {
    unit: 'Ms',
    allowed: `a duration such as 500ms, 30s, 5m or 1h30m, ${range}`,
    form: { type: 'string', pattern: DURATION.source },
    parse(text) {
      const ms = parseDuration(text);
      return ms !== undefined && ms >= leastMs && ms <= mostMs ? ms : undefined;
    },
  };
}

const DURATION = /^(0|(\d{1,9}(ms|s|m|h|d))+)$/;

function parseDuration(text: string): number | undefined {
  if (text === '0') return 0;
  if (!DURATION.test(text)) return undefined;
  let total = 0;
  let last = Number.POSITIVE_INFINITY;
  for (const [, amount, unit = ''] of text.matchAll(/(\d+)(ms|s|m|h|d)/g)) {
    const msPerUnit = MS_PER_UNIT[unit] ?? 0;
    if (msPerUnit >= last) return undefined;
    last = msPerUnit;
    total += Number(amount) * msPerUnit;
  }
  return total;
}

/** Bytes, written as `512KiB`, `256MiB` or `2GiB`. */
export function size(least: string, most?: string): Size {
  const leastBytes = parseSize(least) ?? 0;
  const mostBytes = (most === undefined ? undefined : parseSize(most)) ?? Number.MAX_SAFE_INTEGER;
  const range = most === undefined ? `at least ${least}` : `from ${least} to ${most}`;
  return {
    unit: 'Bytes',
    allowed: `a size such as 512KiB, 256MiB or 2GiB, ${range}`,
    form: { type: 'string', pattern: SIZE.source },
    parse(text) {
      const bytes = parseSize(text);
      return bytes !== undefined && bytes >= leastBytes && bytes <= mostBytes ? bytes : undefined;
    },
  };
}

/** As `size` reads it, with the largest unit of which it is a whole number. */
export function formatSize(bytes: number): string {
  const [unit, perUnit] = Object.entries(BYTES_PER_UNIT)
    .toReversed()
    .find(([, of]) => bytes % of === 0) ?? ['B', 1];
  return `${bytes / perUnit}${unit}`;
}

const SIZE = /^(\d{1,9})(B|KiB|MiB|GiB|TiB)$/;

function parseSize(text: string): number | undefined {
  const match = SIZE.exec(text);
  if (!match) return undefined;
  const bytes = Number(match[1]) * (BYTES_PER_UNIT[match[2] ?? ''] ?? 0);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
