/** Work that takes long on the event loop, in steps: between two of them something else may be done. */
export type Steps<T> = Generator<void, T, void>;

/** How long the event loop is kept from other work, milliseconds: some requests to a sidecar wait for it. */
const SLICE_MS = 10;

/** All of it at once. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** A slice at a time, with what else there is to do between two of them. Rejects with the signal's reason when it fires. */
export async function inSlices<T>(steps: Steps<T>, signal?: AbortSignal): Promise<T> {
  for (;;) {
    signal?.throwIfAborted();
    const end = performance.now() + SLICE_MS;
    do {
      const { done, value } = steps.next();
      if (done === true) return value;
    } while (performance.now() < end);
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
