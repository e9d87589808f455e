/** Paths of files, apart from the other types of texts: those are read in browsers, too. */
import { resolve } from 'node:path';
import { textType } from './text-types.js';

/** A path of the file system, made absolute. */
export const path = textType('a path', (text, base) =>
  text.trim() === '' || text.includes('\0') ? undefined : resolve(base, text),
);
