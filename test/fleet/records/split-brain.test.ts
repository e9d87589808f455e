import test from 'ava';
import * as fc from 'fast-check';
import { pino } from 'pino';
import type { DriverRecord } from '../../../src/model/driver.js';
import { withoutSession, withSession } from '../../../src/model/driver-record.js';
import type { RecordStore, StoredRecord } from '../../../src/model/ledger.js';
import { openLedger, type StoredLedger } from '../../../src/fleet/records/ledger.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../../support/driver-records.js';
import { TestLeadership } from '../../support/leadership.js';
import { ManualClock, settle } from '../../support/manual-clock.js';
import { MemoryStore } from '../../support/memory-store.js';

const logger = pino({ level: 'silent' });
const clock = new ManualClock(START_MS);

/** One leader's way to the shared store; what it has sent may arrive much later. */
class SlowWay implements RecordStore {
  readonly #store: RecordStore;
  #underWay: (() => void)[] = [];
  slow = false;

  constructor(store: RecordStore) {
    this.#store = store;
  }

  list(): Promise<readonly StoredRecord[]> {
    return this.#store.list();
  }

  read(uid: string): Promise<StoredRecord | undefined> {
    return this.#store.read(uid);
  }

  async write(record: DriverRecord, version: string | undefined): Promise<string> {
    await this.#travel();
    return this.#store.write(record, version);
  }

  async delete(uid: string, version: string): Promise<void> {
    await this.#travel();
    return this.#store.delete(uid, version);
  }

  arrive(): void {
    const underWay = this.#underWay;
    this.#underWay = [];
    for (const arrived of underWay) arrived();
  }

  async #travel(): Promise<void> {
    if (this.slow) await new Promise<void>((resolve) => this.#underWay.push(resolve));
  }
}

interface Leader {
  readonly leadership: TestLeadership;
  readonly way: SlowWay;
  readonly ledger: StoredLedger;
}

async function elect(store: RecordStore, epoch: number): Promise<Leader> {
  const leadership = new TestLeadership();
  leadership.held = epoch;
  const way = new SlowWay(store);
  const ledger = await openLedger({ store: way, leadership, clock, logger });
  return { leadership, way, ledger };
}

/** The driver that the leader answers with, if it answers: the session's own, else one of those that are free. */
async function ask(
  { ledger, leadership }: Leader,
  id: string,
  pick = 0,
): Promise<string | undefined> {
  if (leadership.epoch() === undefined) return undefined;
  try {
    const found = ledger.bySession(id);
    if (found) {
      const record = await ledger.update(found.uid, (current) => current);
      return Object.hasOwn(record.sessions, id) ? record.uid : undefined;
    }
    const all = [...ledger.all()].filter(({ tenant }) => tenant === undefined);
    const free = all[pick % all.length];
    if (!free) return undefined;
    await ledger.update(free.uid, (record) => withSession(record, sessionRecord(id), START_MS));
    return free.uid;
  } catch {
    return undefined;
  }
}

test('a late write of a former leader is dropped where its successor gave the session another driver', async (t) => {
  const store = new MemoryStore();
  for (const uid of ['d1', 'd2']) store.seed(driverRecord(uid));
  const first = await elect(store, 1);
  first.way.slow = true;
  const unanswered = ask(first, sessionId(1));
  await settle();
  first.leadership.held = undefined;
  const second = await elect(store, 2);
  t.is(await ask(second, sessionId(2)), 'd1');
  t.is(await ask(second, sessionId(1)), 'd2');
  first.way.arrive();
  t.is(await unanswered, undefined);

  const late = store.records.get('d1')?.record;
  t.deepEqual(Object.keys(late?.sessions ?? {}), [sessionId(2)], 'it was refused');
  store.seed(withSession(driverRecord('d3', { epoch: 1 }), sessionRecord(sessionId(1)), START_MS));
  const third = await elect(store, 3);
  t.is(await ask(third, sessionId(1)), 'd2');
  t.deepEqual(third.ledger.get('d3')?.sessions, {});
});

const stepOf = (...actions: string[]) =>
  fc.record({ do: fc.constantFrom(...actions), n: fc.nat(4), pick: fc.nat(5) });
const step = fc.oneof(
  { weight: 6, arbitrary: stepOf('ask') },
  { weight: 2, arbitrary: stepOf('end') },
  { weight: 4, arbitrary: stepOf('slow', 'fast', 'arrive') },
  { weight: 2, arbitrary: stepOf('elect') },
);

test('however late writes of former leaders arrive, no driver has two sessions and no session two drivers', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = new MemoryStore();
      for (let n = 0; n < 6; n += 1) store.seed(driverRecord(`d${n}`));
      const leaders = [await elect(store, 1)];
      const driverOf = new Map<string, string>();
      const sessionOf = new Map<string, string>();
      const ended = new Set<string>();
      const underWay: Promise<void>[] = [];
      const answered = (id: string, uid: string | undefined, wasEnded: boolean) => {
        if (uid === undefined) return;
        t.false(wasEnded, 'an ended session came back');
        t.is(driverOf.get(id) ?? uid, uid, 'one session, two drivers');
        t.is(sessionOf.get(uid) ?? id, id, 'one driver, two sessions');
        driverOf.set(id, uid);
        sessionOf.set(uid, id);
      };
      for (const { do: action, n, pick } of steps) {
        const id = sessionId(n);
        const newest = leaders.at(-1);
        const any = leaders[n % leaders.length];
        if (!newest || !any) continue;
        if (action === 'ask') {
          const wasEnded = ended.has(id);
          underWay.push(ask(newest, id, pick).then((uid) => answered(id, uid, wasEnded)));
        } else if (action === 'end') {
          const uid = newest.ledger.bySession(id)?.uid;
          if (uid === undefined) continue;
          const end = newest.ledger.update(uid, (record) =>
            withoutSession(record, id, 'released', START_MS),
          );
          underWay.push(
            end.then(
              () => void ended.add(id),
              () => undefined,
            ),
          );
        } else if (action === 'slow') any.way.slow = true;
        else if (action === 'fast') any.way.slow = false;
        else if (action === 'arrive') any.way.arrive();
        else {
          newest.leadership.held = undefined;
          leaders.push(await elect(store, leaders.length + 1));
        }
        await settle();
      }
      for (const leader of leaders) {
        leader.way.slow = false;
        for (let turn = 0; turn < 5; turn += 1) {
          leader.way.arrive();
          await settle();
        }
      }
      await clock.advance(2_000);
      await Promise.all(underWay);
      const last = await elect(store, leaders.length + 1);
      for (const id of driverOf.keys()) {
        answered(id, await ask(last, id), ended.has(id));
      }
    }),
    { numRuns: 300 },
  );
});
