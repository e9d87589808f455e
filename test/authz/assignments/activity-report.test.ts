import test from 'ava';
import { ActivityReports } from '../../../src/authz/assignments/activity-reports.js';

const at = (ms: number) => ({ wallMs: ms, monotonicMs: ms });
const RELEASE = { sessionId: 'a', atMs: 0, released: true };
const OTHER = { sessionId: 'b', atMs: 0, released: false };

test('a release that was taken in is told again to whoever leads next, for a minute', (t) => {
  const reports = new ActivityReports();
  reports.add(RELEASE);
  reports.add(OTHER);
  const first = reports.next(at(0));
  t.deepEqual(first.activity, [RELEASE, OTHER]);
  t.deepEqual(reports.acknowledge(first.report), at(0));

  reports.takeBack(at(59_000));
  const second = reports.next(at(59_000));
  t.deepEqual(second.activity, [RELEASE]);
  reports.acknowledge(second.report);

  reports.takeBack(at(120_000));
  t.deepEqual(reports.next(at(120_000)).activity, []);
});

test('what was not taken in is told again, however late', (t) => {
  const reports = new ActivityReports();
  reports.add(OTHER);
  reports.next(at(0));
  reports.takeBack(at(600_000));
  t.deepEqual(reports.next(at(600_000)).activity, [OTHER]);
});
