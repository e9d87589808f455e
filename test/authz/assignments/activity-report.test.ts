import test from 'ava';
import { ActivityReports } from '../../../src/authz/assignments/activity-report.js';

const RELEASE = { sessionId: 'a', atMs: 0, released: true };
const OTHER = { sessionId: 'b', atMs: 0, released: false };

test('a release that was taken in is told again to whoever leads next, for a minute', (t) => {
  const reports = new ActivityReports();
  reports.add(RELEASE);
  reports.add(OTHER);
  const first = reports.next(0);
  t.deepEqual(first.activity, [RELEASE, OTHER]);
  t.is(reports.acknowledge(first.report), 0);

  reports.takeBack(59_000);
  const second = reports.next(59_000);
  t.deepEqual(second.activity, [RELEASE]);
  reports.acknowledge(second.report);

  reports.takeBack(120_000);
  t.deepEqual(reports.next(120_000).activity, []);
});

test('what was not taken in is told again, however late', (t) => {
  const reports = new ActivityReports();
  reports.add(OTHER);
  reports.next(0);
  reports.takeBack(600_000);
  t.deepEqual(reports.next(600_000).activity, [OTHER]);
});
