import { randomBytes } from 'node:crypto';

const LETTERS = 'abcdefghijklmnopqrstuvwxyz0123456789';

/** A new name for a driver: a DNS label that nothing else has. */
export function newDriverName(): string {
  const random = [...randomBytes(12)].map((byte) => LETTERS[byte % LETTERS.length]).join('');
  return `driver-${random}`;
}
