// Loaded into ava's own process: its TAP reporter (7.0.0) ends with a TypeError when a test hangs past
// the time-out, so that neither this test is told nor any later file is run. It takes an error there
// that has not been made for reporters.

// The process of each test file loads this as well, because ava hands its options on; it reports nothing
// by itself, and the reporter takes longer to load than most files' tests.
if (process.send === undefined) {
  const { default: TapReporter } = await import('../../node_modules/ava/lib/reporters/tap.js');
  const { writeTest } = TapReporter.prototype;
  TapReporter.prototype.writeTest = function writeAnyTest(event, flags) {
    const { err: error } = event;
    const reported =
      error instanceof Error
        ? { type: 'native', name: error.name, originalError: error, stack: error.stack }
        : error;
    return writeTest.call(this, { ...event, err: reported }, flags);
  };
}
