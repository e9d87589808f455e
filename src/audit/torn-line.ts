import type { FileHandle } from 'node:fs/promises';

/** Longer than any record. */
const LONGEST_LINE = 256 * 1024;

/**
 * Makes a file of JSON lines end with a whole line: a crash may have left half of one, which would
 * make the next unreadable. The file is open for reading and appending.
 * @returns the bytes that were cut off
 */
export async function mendLastLine(handle: FileHandle): Promise<number> {
  const { size } = await handle.stat();
  if (size === 0) return 0;
  const length = Math.min(size, LONGEST_LINE);
  const end = Buffer.alloc(length);
  await handle.read(end, 0, length, size - length);
  const lastLine = end.subarray(end.lastIndexOf('\n') + 1);
  if (lastLine.length === 0) return 0;
  if (isRecord(lastLine)) {
    await handle.write('\n');
    return 0;
  }
  await handle.truncate(size - lastLine.length);
  return lastLine.length;
}

function isRecord(bytes: Buffer): boolean {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null;
  } catch {
    return false;
  }
}
