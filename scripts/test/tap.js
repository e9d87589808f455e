// Reads the TAP that ava writes (https://testanything.org/tap-version-13-specification.html).

/**
 * Counts test points and hands each to `onTest` with the diagnostics that follow it.
 * @param {(test: {outcome: 'passed' | 'failed' | 'skipped', title: string, diagnostics: readonly string[]}) => void} onTest
 * @returns `line` takes one line; `end` returns the totals
 */
export function tapReader(onTest) {
  const totals = { passed: 0, failed: 0, skipped: 0 };
  let pending;
  const flush = () => {
    if (!pending) return;
    totals[pending.outcome] += 1;
    onTest(pending);
    pending = undefined;
  };
  return {
    line(text) {
      const point = /^(not )?ok \d+(?: - (.*?))?( # (?:SKIP|TODO)\b.*)?$/i.exec(text);
      if (point) {
        flush();
        const [, not, title = '', directive] = point;
        const outcome = directive ? 'skipped' : not ? 'failed' : 'passed';
        pending = { outcome, title, diagnostics: [] };
      } else if (text === '' || /^\s/.test(text)) {
        pending?.diagnostics.push(text);
      } else {
        flush();
      }
    },
    end() {
      flush();
      return totals;
    },
  };
}
