/** Everybody sees and ends their own sessions, and nobody else's by it. */
import test, { type ExecutionContext } from 'ava';
import type { SessionView } from '../../src/model/admin-api.js';
import type { Operations } from '../../src/model/administration.js';
import { startAdminApi, type AdminApi } from '../support/admin-api.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../support/driver-records.js';

const [mine, theirs, sameName] = [sessionId(1), sessionId(2), sessionId(3)];

/** `nobody` has one session; so have another person, and one of the same name at another issuer. */
async function start(t: ExecutionContext): Promise<AdminApi & { released: readonly string[] }> {
  const released: string[] = [];
  const release: Operations['release'] = async (id) => {
    released.push(id);
    return { sessionId: id, driverUid: 'd1', end: 'released', endedAtMs: START_MS };
  };
  const api = await startAdminApi(t, {
    recordsOf: (issuer) => [
      driverRecord('d1', {
        phase: 'in_use',
        sessions: Object.fromEntries(
          [
            sessionRecord(mine, { principal: { issuer, subject: 'nobody@example.com' } }),
            sessionRecord(theirs, { principal: { issuer, subject: 'reader@example.com' } }),
            sessionRecord(sameName, {
              principal: { issuer: 'https://other.test', subject: 'nobody@example.com' },
            }),
          ].map((session) => [session.sessionId, session]),
        ),
      }),
    ],
    operations: { release },
  });
  return Object.assign(api, { released });
}

test('who has no role sees their own sessions only', async (t) => {
  const api = await start(t);
  const token = await api.tokenOf('nobody');
  const own = (await (await api.ask('me/sessions', { token })).json()) as SessionView[];
  t.deepEqual(
    own.map(({ id }) => id),
    [mine],
  );
  for (const path of ['sessions', `sessions/${mine}`, 'drivers', 'status']) {
    t.is((await api.ask(path, { token })).status, 403, path);
  }
  t.is((await api.ask('me/sessions')).status, 401);
});

test("who has no role ends their own session, and no other's; both are recorded", async (t) => {
  const api = await start(t);
  const token = await api.tokenOf('nobody');
  const release = (id: string) => api.ask(`me/sessions/${id}/release`, { method: 'POST', token });
  t.is((await release(mine)).status, 200);
  for (const id of [theirs, sameName, sessionId(9)]) {
    const response = await release(id);
    t.is(response.status, 404, id);
    t.like(await response.json(), { error: { message: `You have no session ${id}.` } });
  }
  t.deepEqual(api.released, [mine]);
  t.deepEqual(
    api.actions.map(({ object, outcome, principal }) => [object, outcome, principal?.subject]),
    [
      [mine, 'done', 'nobody@example.com'],
      [theirs, 'refused', 'nobody@example.com'],
      [sameName, 'refused', 'nobody@example.com'],
      [sessionId(9), 'refused', 'nobody@example.com'],
    ],
  );
  t.is((await api.ask(`sessions/${mine}/release`, { method: 'POST', token })).status, 403);
});
