/** Which file of a log is which: `<path>` is written, `<path>.<UTC time>` were written before it. */

export interface RotationLimits {
  /** A file is left when it would grow beyond this. */
  readonly sizeBytes: number;
  /** A file is left when it is as old as this, milliseconds. */
  readonly ageMs: number;
  /** Files that are kept beside the one that is written. */
  readonly keep: number;
}

export interface CurrentFile {
  readonly sizeBytes: number;
  readonly bornAtMs: number;
}

const STAMP = /^\.\d{8}T\d{9}Z(-\d{4})?$/;

/** Whether `moreBytes` belong into a new file. An empty file is never left. */
export function isFull(
  file: CurrentFile,
  moreBytes: number,
  nowMs: number,
  limits: RotationLimits,
): boolean {
  if (file.sizeBytes === 0) return false;
  return file.sizeBytes + moreBytes > limits.sizeBytes || nowMs - file.bornAtMs >= limits.ageMs;
}

/** A name for the file that is left now, later in order than all that there are. */
export function rotatedName(name: string, nowMs: number, existing: readonly string[]): string {
  const stamp = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  const newest = rotatedFiles(name, existing).at(-1) ?? '';
  const wanted = `${name}.${stamp}`;
  // Names of the same millisecond, or made before the clock was set back.
  if (wanted > newest && !newest.startsWith(wanted)) return wanted;
  const [, base = wanted, number = '0'] = /^(.*Z)(?:-(\d{4}))?$/.exec(newest) ?? [];
  return `${base}-${String(Number(number) + 1).padStart(4, '0')}`;
}

/** Of the names in a folder those that were written before `name`, the oldest first. */
export function rotatedFiles(name: string, inFolder: readonly string[]): string[] {
  return inFolder
    .filter((file) => file.startsWith(name) && STAMP.test(file.slice(name.length)))
    .toSorted();
}

/** Those that are too many. */
export function surplusFiles(name: string, inFolder: readonly string[], keep: number): string[] {
  const files = rotatedFiles(name, inFolder);
  return files.slice(0, Math.max(0, files.length - keep));
}
