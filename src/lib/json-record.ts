/** Reads records back that were stored as JSON, field by field. */
import { isObject } from '../model/json.js';

/** What is wrong with a stored value, with the path to it. */
export class RecordSchemaError extends Error {
  override readonly name = 'RecordSchemaError';
}

// Each reader throws RecordSchemaError.

export function optional<T>(
  o: Record<string, unknown>,
  key: string,
  parse: (value: unknown, path: string) => T,
): T | undefined {
  return o[key] === undefined ? undefined : parse(o[key], key);
}

export function object(value: unknown, path: string): Record<string, unknown> {
  return isObject(value) ? value : fail(path, 'is not an object');
}

export function string(value: unknown, path: string): string {
  return typeof value === 'string' ? value : fail(path, 'is not a string');
}

export function nonEmpty(value: unknown, path: string): string {
  return typeof value === 'string' && value !== '' ? value : fail(path, 'is not a text');
}

export function number(value: unknown, path: string): number {
  return typeof value === 'number' && Number.isFinite(value)
    ? value
    : fail(path, 'is not a number');
}

export function oneOf<T extends string>(value: unknown, allowed: readonly T[], path: string): T {
  const found = allowed.find((option) => option === value);
  return found ?? fail(path, `is none of ${allowed.join(', ')}`);
}

export function fail(path: string, problem: string): never {
  throw new RecordSchemaError(`${path} ${problem}`);
}

/** A file of `{format, version, …}`: its version, and all of it. */
export function versionedFile(
  text: string,
  format: number,
): { readonly version: string; readonly value: Record<string, unknown> } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RecordSchemaError('the file is no JSON');
  }
  if (!isObject(value)) throw new RecordSchemaError('the file holds no object');
  if (value['format'] !== format) throw new RecordSchemaError(`format is not ${format}`);
  return { version: string(value['version'], 'version'), value };
}
