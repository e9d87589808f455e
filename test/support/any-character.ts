import * as fc from 'fast-check';

/** Half characters, which no text holds, are between these. */
const FIRST_HALF = 0xd800;
const HALVES = 0x800;
const LAST = 0x10ffff;

/** Any character of Unicode, assigned or not, for `unit`: fast-check's own `binary` first makes a table of a million. */
export const anyCharacter: fc.Arbitrary<string> = fc.nat(LAST - HALVES).map(
  (index) => String.fromCodePoint(index < FIRST_HALF ? index : index + HALVES),
  (character) => {
    const point = typeof character === 'string' ? character.codePointAt(0) : undefined;
    if (point === undefined || String.fromCodePoint(point) !== character) {
      throw new Error('not one character');
    }
    return point < FIRST_HALF ? point : point - HALVES;
  },
);
