/** Ctrl-C and SIGTERM: a first one asks the role to end, a second one does not wait for it. */

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborted by the first signal; the second ends the process at once, with 128 + n. */
export function terminationSignal(): AbortSignal {
  const controller = new AbortController();
  for (const [index, name] of signals.entries()) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(128 + ([2, 15, 1][index] ?? 0));
      controller.abort();
    });
  }
  return controller.signal;
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
