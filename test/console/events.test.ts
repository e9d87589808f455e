import test from 'ava';
import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { API_ROOT } from '../../src/console/read-routes.js';
import { Events, HEARTBEAT_MS, REFRESH_MS } from '../../src/console/live/events.js';
import type { Exchange } from '../../src/lib/http/router.js';
import { GatewayError } from '../../src/model/errors.js';
import { ManualClock } from '../support/manual-clock.js';

/** A response whose client reads when the test says so. */
class SlowResponse extends EventEmitter {
  readonly written: string[] = [];
  writableNeedDrain = false;
  writableEnded = false;

  write(text: string): boolean {
    this.written.push(text);
    return !this.writableNeedDrain;
  }

  end(): void {
    this.writableEnded = true;
    this.emit('close');
  }
}

/** A state that counts how often it was looked at, and says from where to where it changed. */
class CountedState {
  revision = 0;
  changes = true;

  refresh(): void {
    if (this.changes) this.revision += 1;
  }

  snapshot() {
    return { name: 'snapshot', data: `${this.revision}` };
  }

  since(revision: number) {
    return revision === this.revision
      ? []
      : [{ name: 'status', data: `${revision}-${this.revision}` }];
  }
}

function world() {
  const clock = new ManualClock();
  const state = new CountedState();
  const access = { refused: false };
  const events = new Events({
    state,
    clock,
    gatekeeper: {
      async admit() {
        if (access.refused) throw new GatewayError('TOKEN_EXPIRED', 'over');
        return {
          caller: { principal: { issuer: 'i', subject: 's' }, groups: [], claims: {} },
          role: 'read',
          goodUntilMs: Infinity,
        };
      },
    },
  });
  const open = async () => {
    const response = new SlowResponse();
    const answer = await events.routes()[`GET ${API_ROOT}/events`]?.({} as Exchange);
    if (typeof answer?.body === 'function') answer.body(response as unknown as ServerResponse);
    return response;
  };
  return { clock, state, access, events, open };
}

test('changes are sent at most once in an interval', async (t) => {
  const { clock, open } = world();
  const { written } = await open();
  t.is(written[0], 'retry: 1000\n\nevent: snapshot\ndata: 1\n\n');
  await clock.advance(REFRESH_MS - 1);
  t.is(written.length, 1);
  await clock.advance(1);
  t.deepEqual(written.slice(1), ['event: status\ndata: 1-2\n\n']);
});

test('a reader that is slow gets the newest state when it can take more, and nothing waits for it', async (t) => {
  const { clock, open } = world();
  const slow = await open();
  const other = await open();
  slow.writableNeedDrain = true;
  await clock.advance(5 * REFRESH_MS);
  t.is(slow.written.length, 1);
  t.is(other.written.length, 6);
  slow.writableNeedDrain = false;
  slow.emit('drain');
  t.deepEqual(slow.written.slice(1), ['event: status\ndata: 1-6\n\n']);
});

test('while nothing changes, a heartbeat shows that the connection lives', async (t) => {
  const { clock, state, open } = world();
  const { written } = await open();
  state.changes = false;
  await clock.advance(HEARTBEAT_MS);
  t.deepEqual(written.slice(1), ['event: heartbeat\ndata: {}\n\n']);
});

test('nothing is looked at while nobody reads', async (t) => {
  const { clock, state, open } = world();
  const response = await open();
  response.end();
  await clock.advance(10 * REFRESH_MS);
  t.is(state.revision, 1);
});

test('who may no longer read is cut off', async (t) => {
  const { clock, access, open } = world();
  const response = await open();
  access.refused = true;
  await clock.advance(HEARTBEAT_MS + REFRESH_MS);
  t.true(response.writableEnded);
});

test('more pages than it can feed are refused', async (t) => {
  const { open } = world();
  for (let at = 0; at < 200; at += 1) await open();
  await t.throwsAsync(open(), { code: 'QUOTA_EXCEEDED' });
});
