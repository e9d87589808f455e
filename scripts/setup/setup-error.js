/** Something is missing or wrong on this machine. The message is one line that says what to do. */
export class SetupError extends Error {
  name = 'SetupError';
}

/** Prints what was thrown: one line for a SetupError, the whole of anything else. */
export function printFailure(thrown) {
  console.error(thrown instanceof SetupError ? `error: ${thrown.message}` : thrown);
}
