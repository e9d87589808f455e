import { createServer, request as requestHttp } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import anyTest, { type ExecutionContext } from 'ava';
import { HEARTBEAT_MS } from '../../src/playground/log-streams.js';
import { ManualClock } from '../support/manual-clock.js';
import { API, PlaygroundWorld } from './world.js';

/** One world at a time: each has an issuer, a Runner and a control plane. */
const test = anyTest.serial;

interface Event {
  readonly name: string;
  readonly id: string | undefined;
  readonly data: unknown;
}

/** Reads events as they come. */
class Reader {
  readonly response: Response;
  readonly comments: string[] = [];
  readonly #events: AsyncGenerator<Event, void>;

  constructor(response: Response) {
    this.response = response;
    this.#events = this.#read();
  }

  static async open(
    world: PlaygroundWorld,
    jobId: string,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Reader> {
    return new Reader(
      await world.ask(`/logs/${jobId}`, { headers: { accept: 'text/event-stream', ...headers } }),
    );
  }

  /** undefined: the stream has ended. */
  async next(): Promise<Event | undefined> {
    const { value } = await this.#events.next();
    return value ?? undefined;
  }

  async rest(): Promise<Event[]> {
    const events: Event[] = [];
    for (let event = await this.next(); event; event = await this.next()) events.push(event);
    return events;
  }

  async *#read(): AsyncGenerator<Event, void> {
    let text = '';
    const decoder = new TextDecoder();
    for await (const chunk of this.response.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n');
        text = text.slice(end + 2);
        this.comments.push(...lines.filter((line) => line.startsWith(':')));
        const field = (name: string) =>
          lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field('data');
        if (data === undefined) continue;
        yield { name: field('event') ?? 'message', id: field('id'), data: JSON.parse(data) };
      }
    }
  }
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function start(t: ExecutionContext, clock?: ManualClock) {
  const world = await PlaygroundWorld.start(t, clock ? { clock } : {});
  world.gateway.add('job-1', { state: 'RUNNING' });
  return { world, gateway: world.gateway };
}

const linesOf = (events: readonly Event[]) =>
  events.flatMap(({ name, data }) => (name === 'log' ? (data as string[]) : []));

test('a log comes as it grows, with the states between, and ends with the job', async (t) => {
  const { world, gateway } = await start(t);
  gateway.log('job-1', 'one', 'two');
  const reader = await Reader.open(world, 'job-1');
  t.deepEqual(await reader.next(), { name: 'state', id: undefined, data: { state: 'RUNNING' } });
  t.like(await reader.next(), { name: 'log', data: ['one', 'two'] });
  gateway.log('job-1', 'with\rall\u2028kinds: of "text"');
  t.like(await reader.next(), { name: 'log', data: ['with\rall\u2028kinds: of "text"'] });
  gateway.change('job-1', { state: 'COMPLETED' });
  t.deepEqual(
    (await reader.rest()).map(({ name, data }) => [name, data]),
    [
      ['state', { state: 'COMPLETED' }],
      ['end', { state: 'COMPLETED' }],
    ],
  );
});

test('nothing on the way may keep, change or gather it', async (t) => {
  const { world, gateway } = await start(t);
  const { headers } = (await Reader.open(world, 'job-1')).response;
  t.is(headers.get('x-accel-buffering'), 'no');
  t.regex(headers.get('cache-control') ?? '', /no-transform/);
  t.regex(headers.get('content-type') ?? '', /^text\/event-stream/);
  gateway.change('job-1', { state: 'FAILED' });
});

test('who comes back with the last position gets what follows it, each line once', async (t) => {
  const { world, gateway } = await start(t);
  gateway.log('job-1', 'one', 'two');
  const first = await Reader.open(world, 'job-1');
  await first.next();
  const seen = await first.next();
  await first.response.body?.cancel().catch(() => undefined);
  gateway.log('job-1', 'three');
  gateway.change('job-1', { state: 'COMPLETED' });
  const again = await Reader.open(world, 'job-1', { 'last-event-id': seen?.id ?? '' });
  t.deepEqual(linesOf(await again.rest()), ['three']);
});

test('a Runner that restarts cuts nothing: the stream goes on after the last line', async (t) => {
  const { world, gateway } = await start(t);
  gateway.log('job-1', 'one');
  const reader = await Reader.open(world, 'job-1');
  await reader.next();
  t.like(await reader.next(), { data: ['one'] });
  await world.runner.stopRunner();
  gateway.log('job-1', 'two');
  await world.runner.startRunner();
  t.like(await reader.next(), { name: 'log', data: ['two'] });
  gateway.cutStreams();
  gateway.log('job-1', 'three');
  gateway.change('job-1', { state: 'COMPLETED' });
  const rest = await reader.rest();
  t.deepEqual(linesOf(rest), ['three']);
  t.is(rest.at(-1)?.name, 'end');
});

test('while nothing happens a heartbeat says so every 15 s', async (t) => {
  const clock = new ManualClock();
  const { world, gateway } = await start(t, clock);
  const reader = await Reader.open(world, 'job-1');
  await reader.next();
  const next = reader.next();
  await clock.advance(HEARTBEAT_MS);
  await clock.advance(HEARTBEAT_MS);
  gateway.change('job-1', { state: 'COMPLETED' });
  await next;
  t.is(reader.comments.length, 2);
});

test('a log of somebody else, or of no job, is refused before a stream begins', async (t) => {
  const { world, gateway } = await start(t);
  gateway.add('job-2', { user: 'bob@example.com' });
  for (const id of ['job-2', 'job-3']) {
    const { response } = await Reader.open(world, id);
    t.is(response.status, 404);
    t.is(response.headers.get('content-type'), 'application/problem+json');
  }
});

test('a reader that does not read is not read for: the log waits at its source', async (t) => {
  const { world, gateway } = await start(t);
  const line = 'x'.repeat(100_000);
  for (let at = 0; at < 300; at += 1) gateway.log('job-1', line);
  const token = await world.token();
  const asked = requestHttp(`${world.url}${API}/logs/job-1`, {
    headers: { accept: 'text/event-stream', authorization: `Bearer ${token}` },
  });
  asked.end();
  const [response] = await once(asked, 'response');
  // Paused: only what the buffers on the way hold has been taken.
  await until(() => gateway.following === 1);
  gateway.change('job-1', { state: 'COMPLETED' });
  let bytes = 0;
  response.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await once(response, 'end');
  t.true(bytes > 300 * line.length);
});

test('through a proxy that gathers what it may, each line arrives when it is written', async (t) => {
  const { world, gateway } = await start(t);
  // As nginx does by default: 4 kB at a time, unless the answer says no.
  const proxy = createServer((incoming, outgoing) => {
    const onward = requestHttp(
      `${world.url}${incoming.url ?? ''}`,
      { headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        outgoing.flushHeaders();
        const gathers = answer.headers['x-accel-buffering'] !== 'no';
        let kept = Buffer.alloc(0);
        answer.on('data', (chunk: Buffer) => {
          kept = Buffer.concat([kept, chunk]);
          if (gathers && kept.length < 4096) return;
          outgoing.write(kept);
          kept = Buffer.alloc(0);
        });
        answer.on('end', () => outgoing.end(kept));
      },
    );
    onward.end();
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.teardown(() => proxy.closeAllConnections());
  t.teardown(() => void proxy.close());
  const { port } = proxy.address() as AddressInfo;
  const reader = new Reader(
    await fetch(`http://127.0.0.1:${port}${API}/logs/job-1`, {
      headers: { accept: 'text/event-stream', authorization: `Bearer ${await world.token()}` },
    }),
  );
  await reader.next();
  gateway.log('job-1', 'short');
  t.like(await reader.next(), { name: 'log', data: ['short'] });
  gateway.change('job-1', { state: 'COMPLETED' });
  t.is((await reader.rest()).at(-1)?.name, 'end');
});

test('nobody follows more than 20 logs at a time', async (t) => {
  const { world, gateway } = await start(t);
  const readers = [];
  for (let at = 0; at < 20; at += 1) readers.push(await Reader.open(world, 'job-1'));
  t.true(readers.every(({ response }) => response.status === 200));
  const { response } = await Reader.open(world, 'job-1');
  t.is(response.status, 429);
  t.is(
    (await world.ask('/logs/job-1', { headers: { accept: 'text/event-stream' }, user: 'bob' }))
      .status,
    404,
  );
  gateway.change('job-1', { state: 'COMPLETED' });
  await Promise.all(readers.map((reader) => reader.rest()));
  t.is((await Reader.open(world, 'job-1')).response.status, 200);
});

test('lines by the hundred thousand arrive in order, in events that a page can draw', async (t) => {
  const { world, gateway } = await start(t);
  const lines = Array.from({ length: 20_000 }, (_, at) => `line ${at} ${'x'.repeat(20)}`);
  gateway.log('job-1', ...lines);
  gateway.change('job-1', { state: 'COMPLETED' });
  const events = await (await Reader.open(world, 'job-1')).rest();
  t.deepEqual(linesOf(events), lines);
  t.true(events.every(({ data }) => JSON.stringify(data).length < 200_000));
});
