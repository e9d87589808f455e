/** Files that need not be there, and files that a person has named. */
import { readFile } from 'node:fs/promises';
import { type ErrorCode, GatewayError, hasCode, reasonOf } from '../model/errors.js';

/** undefined: there is no such file. */
export async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

/** The same of a text in UTF-8. */
export async function readTextIfThere(path: string): Promise<string | undefined> {
  return (await readIfThere(path))?.toString('utf8');
}

/** A text that a person has named. Rejects with `code` and a message that calls it `what`, such as `the policy file`. */
export async function readNamedText(path: string, code: ErrorCode, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new GatewayError(code, `${path}: ${what} cannot be read: ${reasonOf(error)}`, {
      cause: error,
    });
  }
}
