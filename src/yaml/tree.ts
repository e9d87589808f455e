/** A document as a small tree in which every value knows where it was written. */
import type { Place } from './problem.js';

export interface YamlText {
  readonly kind: 'text';
  readonly text: string;
  readonly place: Place;
}

export interface YamlList {
  readonly kind: 'list';
  readonly items: readonly YamlValue[];
  readonly place: Place;
}

export interface YamlEntry {
  readonly key: string;
  readonly place: Place;
  readonly value: YamlValue;
}

export interface YamlMap {
  readonly kind: 'map';
  readonly entries: readonly YamlEntry[];
  readonly place: Place;
}

/** A key without a value, `~` or `null`: as if it were not there. */
export interface YamlNothing {
  readonly kind: 'nothing';
  readonly place: Place;
}

export type YamlValue = YamlText | YamlList | YamlMap | YamlNothing;

/** A scalar as a value. `plain`: it was written without quotes. */
export function scalarValue(text: string, plain: boolean, place: Place): YamlText | YamlNothing {
  if (plain && (text === '' || text === '~' || text === 'null')) return { kind: 'nothing', place };
  return { kind: 'text', text, place };
}
