import test from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import { withoutSession, withSession } from '../../../src/model/driver-record.js';
import { openLedger } from '../../../src/fleet/records/ledger.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../../support/driver-records.js';
import { TestLeadership } from '../../support/leadership.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { MemoryStore } from '../../support/memory-store.js';

const uids = ['d1', 'd2'];
const step = fc.oneof(
  fc.record({ do: fc.constant('add'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('end'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('lazy'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('create'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({ do: fc.constant('delete'), uid: fc.constantFrom(...uids), n: fc.nat(5) }),
  fc.record({
    do: fc.constantFrom('pause', 'resume', 'lost', 'unanswered', 'unreadable', 'readable'),
    uid: fc.constantFrom(...uids),
    n: fc.nat(5),
  }),
  fc.record({ do: fc.constant('advance'), uid: fc.constantFrom(...uids), n: fc.nat(20) }),
);

test('whatever fails and in whatever order, an answered change is in the store and memory ends as the store', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = new MemoryStore();
      for (const uid of uids) store.seed(driverRecord(uid));
      const clock = new ManualClock(START_MS);
      const ledger = await openLedger({
        store,
        clock,
        leadership: new TestLeadership(),
        logger: pino({ level: 'silent' }),
      });
      const answers: Promise<void>[] = [];
      const lost: string[] = [];
      for (const { do: action, uid, n } of steps) {
        const id = sessionId(n);
        if (action === 'add' && ledger.get(uid)) {
          const change = ledger.update(uid, (record) =>
            withSession(record, sessionRecord(id), START_MS),
          );
          answers.push(
            change.then(
              () => {
                const shown = ledger.get(uid)?.sessions;
                const kept = store.records.get(uid)?.record.sessions;
                if (shown && id in shown && !(kept && id in kept)) lost.push(id);
              },
              () => undefined,
            ),
          );
        } else if (action === 'end') {
          const ended = ledger.update(uid, (record) =>
            withoutSession(record, id, 'released', START_MS),
          );
          answers.push(
            ended.then(
              () => undefined,
              () => undefined,
            ),
          );
        } else if (action === 'lazy') {
          ledger.updateLazily(uid, (record) => ({ ...record, reason: `lazy ${n}` }));
        } else if (action === 'create') {
          answers.push(ledger.create(driverRecord(uid)).catch(() => undefined));
        } else if (action === 'delete') {
          answers.push(ledger.delete(uid).catch(() => undefined));
        } else if (action === 'pause') store.pause();
        else if (action === 'resume') store.resume();
        else if (action === 'lost' || action === 'unanswered') store.outcomes.push(action);
        else if (action === 'unreadable') store.readable = false;
        else if (action === 'readable') store.readable = true;
        else await clock.advance(n * 1000);
        if (n % 2 === 0) await settle();
      }
      store.resume();
      store.readable = true;
      store.outcomes.length = 0;
      // The longest pause before a record in doubt is read again.
      await clock.advance(8_000);
      await ledger.close();
      await Promise.all(answers);
      t.deepEqual(lost, []);
      const held = Array.from(ledger.all(), (record) => [record.uid, record]);
      t.deepEqual(
        Object.fromEntries(held),
        Object.fromEntries([...store.records].map(([uid, { record }]) => [uid, record])),
      );
      for (const record of ledger.all()) {
        for (const id of [...Object.keys(record.sessions), ...Object.keys(record.tombstones)]) {
          const found = ledger.bySession(id);
          t.true(found && (id in found.sessions || id in found.tombstones));
        }
      }
      for (let n = 0; n <= 5; n += 1) {
        const found = ledger.bySession(sessionId(n));
        if (found) t.true(sessionId(n) in found.sessions || sessionId(n) in found.tombstones);
      }
    }),
    { numRuns: 200 },
  );
});
