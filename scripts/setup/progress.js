// What the set-up shows: one line for each step with the time it took. On a terminal the line of a
// running step is kept up to date; elsewhere a long step says every ten seconds how far it is.

const HEARTBEAT_MS = 10_000;
const TERMINAL_REFRESH_MS = 200;

/**
 * Runs `work` as one step. `work` gets a function that takes what the step is doing now.
 * @param {string} label
 * @param {(detail: (text: string) => void) => Promise<void>} work
 */
export async function showStep(label, work) {
  const out = process.stdout;
  const startedAt = Date.now();
  const seconds = () => `${((Date.now() - startedAt) / 1000).toFixed(1)} s`;
  let detail = '';
  const draw = () => {
    const line = `${label} … ${seconds()}${detail ? `  ${detail}` : ''}`;
    if (out.isTTY) out.write(`\r\u001b[2K${line.slice(0, (out.columns ?? 80) - 1)}`);
    else out.write(`${line}\n`);
  };
  const timer = setInterval(draw, out.isTTY ? TERMINAL_REFRESH_MS : HEARTBEAT_MS);
  try {
    await work((text) => {
      detail = text;
    });
    out.write(`${out.isTTY ? '\r\u001b[2K' : ''}${label}: done in ${seconds()}\n`);
  } catch (error) {
    out.write(`${out.isTTY ? '\r\u001b[2K' : ''}${label}: failed after ${seconds()}\n`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}
