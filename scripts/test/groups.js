// Which unit tests share a process: to start one and to import the gateway takes longer than most files' tests.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { inRoot, root } from '../setup/paths.js';

/** So many that its start is little beside its tests, and so few that no process goes on long after the others. */
const LEAST = 8;

/**
 * Files of a folder are together, as they import much the same; small folders are with the next.
 * @param {readonly string[]} files compiled, below the checkout
 * @returns {string[][]} the largest group first
 */
function groupsOf(files) {
  const groups = [];
  let folder;
  for (const file of files.toSorted()) {
    const group = groups.at(-1);
    const [, , itsFolder] = file.split('/');
    if (group && (group.length < LEAST || itsFolder === folder)) group.push(file);
    else groups.push([file]);
    folder = itsFolder;
  }
  return groups.toSorted((a, b) => b.length - a.length);
}

/**
 * Writes a file for each group that ava takes for a test: it runs the group (group-process.js).
 * @param {readonly string[]} files compiled, below the checkout
 * @returns {{files: string[], remove: () => void}}
 */
export function writeGroups(files) {
  const folder = mkdtempSync(inRoot('build/test/groups-'));
  const runner = new URL('group-process.js', import.meta.url).href;
  const written = groupsOf(files).map((group, at) => {
    const file = join(folder, `${at + 1}.test.js`);
    const paths = JSON.stringify(group.map((path) => inRoot(path)));
    writeFileSync(file, `import { runFiles } from '${runner}';\n\nawait runFiles(${paths});\n`);
    return relative(root, file);
  });
  return { files: written, remove: () => rmSync(folder, { recursive: true }) };
}

/**
 * What a title of a file in a group begins with, as it does when ava runs the files themselves.
 * @param {string} file compiled, below the checkout
 */
export function titlePrefix(file) {
  const name = file.replace(/^build\/test\//, '').replace(/\.test\.js$/, '');
  return `${name.replaceAll('/', ' › ')} › `;
}

/** A title that ava tells, without the number of the group. */
export function titleInGroup(title) {
  return title.replace(/^\d+ › /, '');
}
