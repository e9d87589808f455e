/** Values whose type is how they are written: parameters, and cells of inline rows. */
import type { YamlValue } from '../lib/yaml/yaml-tree.js';
import { quote } from '../lib/yaml/problem.js';
import { describe, type Schema } from '../lib/yaml/schema.js';

/** A number as JSON writes it: a whole one has no point, any other has a point or an exponent. */
export interface NumberText {
  readonly number: string;
}

export type Scalar = string | boolean | NumberText;

const INTEGER = /^-?(0|[1-9]\d*)$/;
const DECIMAL = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d{1,3})?$/;
/** As many digits as Spark's DECIMAL has. */
const MOST_DIGITS = 38;
/** More are lost in a double. */
const DIGITS_OF_DOUBLE = 17;

/**
 * Readers of YAML do not agree on these: numbers in other bases, with leading zeros or underscores,
 * words of YAML 1.1.
 */
const UNCLEAR =
  /^([+-]?(0[0-7_]+|0[xX][0-9a-fA-F_]+|0[oObB][0-7_]+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)|[+-]?\d[\d_]*_[\d_]*(\.[\d_]*)?|[+-]?\d+\.|[+-]?\.\d+.*|\+\d.*|[+-]?0\d+(\.\d*)?|y|n|yes|no|on|off|true|false|null)$/i;

/** undefined: what is wrong was told to the reader. */
export function scalar({ orNothing }: { readonly orNothing: false }): Schema<Scalar>;
export function scalar({ orNothing }: { readonly orNothing: true }): Schema<Scalar | null>;
export function scalar({ orNothing }: { readonly orNothing: boolean }): Schema<Scalar | null> {
  const allowed = `text, a number, true or false${orNothing ? ', or null' : ''}`;
  return {
    allowed,
    shape: { kind: 'scalar', nothing: orNothing },
    read(value, reader) {
      if (value.kind === 'nothing' && orNothing) return null;
      if (value.kind !== 'text') {
        return reader.refuse(value.place, `${describe(value)} is not ${allowed}`);
      }
      const read = typed(value);
      return typeof read === 'object' && 'problem' in read
        ? reader.refuse(value.place, `${quote(value.text)} ${read.problem}`)
        : read;
    },
  };
}

function typed({
  text,
  plain,
}: Extract<YamlValue, { kind: 'text' }>): Scalar | { readonly problem: string } {
  if (plain !== true) return text;
  if (text === 'true' || text === 'false') return text === 'true';
  if (INTEGER.test(text)) {
    return text.replace('-', '').length > MOST_DIGITS
      ? { problem: `has more than ${MOST_DIGITS} digits: write it in quotes, as text` }
      : { number: text === '-0' ? '0' : text };
  }
  if (DECIMAL.test(text)) {
    const value = Number(text);
    const digits = text.replace(/[eE].*$/, '').replaceAll(/^-?[0.]*|\./g, '').length;
    if (!Number.isFinite(value) || digits > DIGITS_OF_DOUBLE) {
      return {
        problem: `does not fit into a double: write it in quotes, as text, and give its column a type such as DECIMAL(38,10)`,
      };
    }
    const written = JSON.stringify(value);
    return { number: INTEGER.test(written) ? `${written}.0` : written };
  }
  if (UNCLEAR.test(text)) {
    return {
      problem:
        'is read by some as a number or a truth value and by others as text: write text in quotes, numbers with decimal digits, and true or false',
    };
  }
  return text;
}
