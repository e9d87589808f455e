import test, { type ExecutionContext } from 'ava';
import type { SessionView } from '../../src/model/admin-api.js';
import type { DriverOutcome, Operations } from '../../src/model/administration.js';
import { GatewayError } from '../../src/model/errors.js';
import type { Principal } from '../../src/model/principal.js';
import { type AdminApi, startAdminApi } from '../support/admin-api.js';
import { driverRecord, sessionId, sessionRecord, START_MS } from '../support/driver-records.js';
import { TokenIssuer } from '../support/token-issuer.js';

// Who may see what.

interface Refusal {
  readonly error: { readonly code: string; readonly message: string };
}

async function refusal(response: Response): Promise<[number, string]> {
  const { error } = (await response.json()) as Refusal;
  return [response.status, error.code];
}

test('without a token nobody is shown anything, and is told how to say who they are', async (t) => {
  const api = await startAdminApi(t);
  const response = await api.ask('sessions');
  t.is(response.headers.get('www-authenticate'), 'Bearer realm="spark-gateway"');
  t.deepEqual(await refusal(response), [401, 'TOKEN_MISSING']);
});

test('an expired token is refused, without grace', async (t) => {
  const api = await startAdminApi(t);
  const token = await api.issuer.token(api.clock.now(), { sub: 'reader@example.com' });
  t.is((await api.ask('status', { token })).status, 200);
  await api.clock.advance(3600_000 + 60_000);
  const response = await api.ask('status', { token });
  t.regex(response.headers.get('www-authenticate') ?? '', /error="invalid_token"/);
  t.deepEqual(await refusal(response), [401, 'TOKEN_EXPIRED']);
});

test("another issuer's token is refused, though its claims would do", async (t) => {
  const api = await startAdminApi(t);
  const foreign = await TokenIssuer.start('foreign', '127.0.0.1');
  t.teardown(() => foreign.close());
  const claims = { sub: 'operator@example.com' };
  const token = await foreign.token(api.clock.now(), claims);
  t.deepEqual(await refusal(await api.ask('status', { token })), [401, 'TOKEN_ISSUER_UNKNOWN']);
  const forged = await foreign.token(api.clock.now(), { ...claims, iss: api.issuer.url });
  t.deepEqual(await refusal(await api.ask('status', { token: forged })), [
    401,
    'TOKEN_SIGNATURE_INVALID',
  ]);
});

test('credentials of another kind are refused', async (t) => {
  const api = await startAdminApi(t);
  const response = await fetch(`${api.url}/api/v1/status`, {
    headers: { authorization: 'Basic cm9vdDpyb290' },
  });
  t.deepEqual(await refusal(response), [401, 'TOKEN_MALFORMED']);
});

test('whom the policy gives no role is told which one is missing', async (t) => {
  const api = await startAdminApi(t);
  const response = await api.ask('sessions', { token: await api.tokenOf('nobody') });
  t.is(response.status, 403);
  t.deepEqual(await response.json(), {
    error: {
      code: 'ADMINISTRATION_REFUSED',
      message:
        'nobody@example.com lacks the role "read": ask whoever keeps the routing policy for a rule in administration.read.',
    },
  });
});

test('an admin may read, too', async (t) => {
  const api = await startAdminApi(t);
  t.is((await api.ask('status', { token: await api.tokenOf('operator') })).status, 200);
});

test('nothing that is shown may be kept by a browser or a proxy', async (t) => {
  const api = await startAdminApi(t);
  const { headers } = await api.ask('status', { token: await api.tokenOf('reader') });
  t.is(headers.get('cache-control'), 'no-store');
  t.is(headers.get('x-content-type-options'), 'nosniff');
});

// Everybody sees and ends their own sessions, and nobody else's by it.

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

// What people do.

const DEADLINE = '2023-11-14T23:00:00Z';

const outcome = (uid: string, drainDeadlineMs?: number): DriverOutcome => ({
  uid,
  phase: 'draining',
  sessions: 1,
  drainDeadlineMs,
});

async function undrain(uid: string): Promise<DriverOutcome> {
  return { ...outcome(uid), phase: 'in_use' };
}

/** Operations that remember what they were asked. */
function driverOperations() {
  const asked: unknown[] = [];
  return {
    asked,
    operations: {
      drain: async (uid: string, deadlineMs: number | undefined, by: Principal) => {
        asked.push(['drain', uid, deadlineMs, by.subject]);
        return outcome(uid, deadlineMs);
      },
      evict: async (uid: string, by: Principal) => {
        asked.push(['evict', uid, by.subject]);
        return outcome(uid);
      },
    },
  };
}

test('drain: until its last session leaves, or at a deadline; recorded with who asked', async (t) => {
  const { asked, operations } = driverOperations();
  const api = await startAdminApi(t, { operations });
  const token = await api.tokenOf('operator');
  const ask = (body?: string) =>
    api.ask('drivers/driver-1/drain', { method: 'POST', token, ...(body ? { body } : {}) });
  t.deepEqual(await (await ask()).json(), { uid: 'driver-1', phase: 'draining', sessions: 1 });
  t.like(await (await ask(JSON.stringify({ deadline: DEADLINE }))).json(), {
    drainDeadline: '2023-11-14T23:00:00.000Z',
  });
  t.deepEqual(asked, [
    ['drain', 'driver-1', undefined, 'operator@example.com'],
    ['drain', 'driver-1', Date.parse(DEADLINE), 'operator@example.com'],
  ]);
  const principal = { issuer: api.issuer.url, subject: 'operator@example.com' };
  const recorded = { principal, action: 'driver.drain', object: 'driver-1', outcome: 'done' };
  t.deepEqual(api.actions, [
    { ...recorded, client: '127.0.0.1' },
    { ...recorded, client: '127.0.0.1', detail: { deadline: '2023-11-14T23:00:00.000Z' } },
  ] as typeof api.actions);
});

test('drain: a duration is counted by the clock of the gateway, and undrain takes it back', async (t) => {
  const { asked, operations } = driverOperations();
  const api = await startAdminApi(t, { operations: { ...operations, undrain } });
  const token = await api.tokenOf('operator');
  const ask = (verb: string, body: string) =>
    api.ask(`drivers/driver-1/${verb}`, { method: 'POST', token, body });
  t.is((await ask('drain', '{"deadline":"10m"}')).status, 200);
  t.deepEqual(asked, [['drain', 'driver-1', START_MS + 600_000, 'operator@example.com']]);
  t.like(await (await ask('undrain', '{}')).json(), { uid: 'driver-1', phase: 'in_use' });
  t.is(api.actions.at(-1)?.action, 'driver.undrain');
  const reader = await api.tokenOf('reader');
  const refused = await api.ask('drivers/driver-1/undrain', { method: 'POST', token: reader });
  t.is(refused.status, 403);
});

const badBodies: readonly (readonly [string, RegExp])[] = [
  ['{', /is not JSON/],
  ['[]', /may hold .*deadline.* and nothing else/],
  ['{"deadlin":"2030-01-01T00:00:00Z"}', /may hold .*deadline.* and nothing else/],
  ['{"deadline":"tomorrow"}', /must be a time/],
  ['{"deadline":"2030-01-01T00:00:00"}', /must be a time/],
  ['{"deadline":1893456000}', /must be a time/],
  ['{"deadline":"2023-11-14T22:13:20Z"}', /is over.*evict it/],
];
for (const [body, message] of badBodies) {
  test(`drain: ${body} is refused, and nothing is done`, async (t) => {
    const { asked, operations } = driverOperations();
    const api = await startAdminApi(t, { operations });
    const token = await api.tokenOf('operator');
    const response = await api.ask('drivers/driver-1/drain', { method: 'POST', token, body });
    t.is(response.status, 400);
    t.regex(await response.text(), message);
    t.deepEqual(asked, []);
    t.like(api.actions[0], { outcome: 'refused', code: 'ARGUMENT_INVALID' });
  });
}

test('whoever may only read is refused, and that is recorded', async (t) => {
  const { asked, operations } = driverOperations();
  const api = await startAdminApi(t, { operations });
  const path = 'drivers/driver-1/evict';
  const reader = await api.ask(path, { method: 'POST', token: await api.tokenOf('reader') });
  t.is(reader.status, 403);
  t.regex(await reader.text(), /lacks the role \\"admin\\"/);
  t.is((await api.ask(path, { method: 'POST' })).status, 401);
  t.is((await api.ask(path, { token: await api.tokenOf('operator') })).status, 405);
  t.deepEqual(asked, []);
  t.deepEqual(
    api.actions.map((action) => [
      action.principal?.subject,
      action.object,
      action.outcome,
      action.code,
    ]),
    [
      ['reader@example.com', 'driver-1', 'refused', 'ADMINISTRATION_REFUSED'],
      // The address of a request of nobody known may hold anything.
      [undefined, '', 'refused', 'TOKEN_MISSING'],
    ],
  );
});

test('release: says how the session ended; unknown ones are 404', async (t) => {
  const api = await startAdminApi(t, {
    operations: {
      release: async (id) => {
        if (id !== sessionId(1)) throw new GatewayError('SESSION_UNKNOWN', 'There is none.');
        return { sessionId: id, driverUid: 'driver-1', end: 'released', endedAtMs: START_MS };
      },
    },
  });
  const token = await api.tokenOf('operator');
  const ask = (n: number) => api.ask(`sessions/${sessionId(n)}/release`, { method: 'POST', token });
  t.deepEqual(await (await ask(1)).json(), {
    id: sessionId(1),
    driver: 'driver-1',
    state: 'ended',
    end: 'released',
    endedAt: new Date(START_MS).toISOString(),
  });
  t.is((await ask(2)).status, 404);
});

test('while nobody leads, what was asked is recorded as failed: it may have been done in part', async (t) => {
  const api = await startAdminApi(t, {
    operations: {
      evict: () => Promise.reject(new GatewayError('CONTROL_PLANE_UNAVAILABLE', 'Nobody leads.')),
    },
  });
  const response = await api.ask('drivers/driver-1/evict', {
    method: 'POST',
    token: await api.tokenOf('operator'),
  });
  t.is(response.status, 503);
  t.like(api.actions[0], { outcome: 'failed', code: 'CONTROL_PLANE_UNAVAILABLE' });
});
