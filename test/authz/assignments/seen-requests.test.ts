import { credentials } from '@grpc/grpc-js';
import test from 'ava';
import { pino } from 'pino';
import { AssignmentsClient } from '../../../src/authz/assignments/assignments-client.js';
import { SeenRequests } from '../../../src/authz/assignments/sidecar-reports.js';
import type { SeenRequest } from '../../../src/model/assignment.js';
import { ScriptedControlPlane } from '../../support/scripted-control-plane.js';
import { WatchedClock } from '../../support/watched-clock.js';

const ann = { principal: { issuer: 'https://issuer.example', subject: 'ann' }, claims: { n: 1 } };

function request(fields: Partial<SeenRequest> = {}): SeenRequest {
  const headers = { 'x-team': 'data' };
  return { sessionId: 's1', caller: ann, host: 'spark', headers, userId: 'ann', ...fields };
}

test('who asks is told with the next report, and again to a control plane that comes anew', async (t) => {
  const plane = await ScriptedControlPlane.start();
  const clock = new WatchedClock();
  const client = new AssignmentsClient({
    addresses: [plane.address],
    credentials: credentials.createInsecure(),
    clock,
    logger: pino({ enabled: false }),
    random: () => 0,
  });
  t.teardown(async () => {
    plane.stop();
    await client.close(0);
  });
  client.start();
  const stream = await plane.follows.next();
  t.deepEqual((await stream.next()).seen, []);
  client.seen(request());
  await clock.advance(5_000);
  const told = (await stream.next()).seen;
  t.is(told.length, 1);
  t.like(told[0], { sessionId: 's1', claims: '{"n":1}', host: 'spark', userId: 'ann' });
  t.like(told[0]?.principal, ann.principal);
  t.deepEqual({ ...told[0]?.headers }, { 'x-team': 'data' });
  client.seen(request());
  await clock.advance(5_000);
  t.deepEqual((await stream.next()).seen, [], 'nothing new is to be told');

  const retry = clock.timer(100);
  stream.end();
  await retry;
  await clock.advance(100);
  t.is((await (await plane.follows.next()).next()).seen.length, 1);
});

test('a new token, another host or other headers are told; the same again is not', (t) => {
  const seen = new SeenRequests();
  const tell = (fields: Partial<SeenRequest>) => {
    seen.seen(request(fields));
    return seen.next().length;
  };
  t.is(tell({}), 1);
  t.is(tell({ headers: { 'x-team': 'data' } }), 0);
  t.is(tell({ caller: { ...ann } }), 1);
  t.is(tell({ host: 'elsewhere' }), 1);
  t.is(tell({ headers: {} }), 1);
  t.is(tell({ headers: {}, sessionId: 's2' }), 1);
});

test('refused requests of one person count as one, however many places they try', (t) => {
  const seen = new SeenRequests();
  for (const team of ['a', 'b', 'c']) {
    seen.seen(request({ sessionId: undefined, headers: { 'x-team': team } }));
  }
  t.deepEqual(
    seen.next().map(({ headers }) => headers['x-team']),
    ['c'],
  );
});

test('many are told over several reports, and claims beyond any token not at all', (t) => {
  const seen = new SeenRequests();
  const large = { ...ann, claims: { text: 'x'.repeat(10_000) } };
  for (let n = 0; n < 100; n++) seen.seen(request({ sessionId: `s${n}`, caller: large }));
  const first = seen.next();
  t.true(first.length < 100);
  t.is(first.length + seen.next().length, 100);
  seen.tellAgain();
  t.is(seen.next().length, first.length);
  const huge = { ...ann, claims: { text: 'x'.repeat(100_000) } };
  const other = new SeenRequests();
  other.seen(request({ caller: huge }));
  t.deepEqual(other.next(), []);
});
