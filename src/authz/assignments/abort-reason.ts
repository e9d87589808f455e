/** Why a signal fired, as something to reject with. */
export function abortReason({ reason }: AbortSignal): Error {
  return reason instanceof Error ? reason : new Error('Nobody waits for this any more.');
}
