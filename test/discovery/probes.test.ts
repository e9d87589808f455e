import { once } from 'node:events';
import { createServer as createHttp2Server } from 'node:http2';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { PodProbes } from '../../src/discovery/pod-probes.js';
import { http2Probe, PortMonitor, tcpProbe } from '../../src/discovery/port-monitor.js';
import type { ObservedDriver } from '../../src/model/driver.js';
import { unusedAddress } from '../support/loopback.js';
import { ManualClock, settle } from '../support/manual-clock.js';

// One look at a port.

// On 127.0.0.1 another process could take the port in between.
const address = await unusedAddress();

async function listening(t: ExecutionContext, server: Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => sockets.add(socket));
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

test('an HTTP/2 server answers; a port on which nothing listens gives the reason', async (t) => {
  const server = createHttp2Server();
  server.listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  t.is(await http2Probe(address, port, 10_000), undefined);
  t.is(await tcpProbe(address, port, 10_000), undefined);
  server.close();
  await once(server, 'close');
  t.is(await http2Probe(address, port, 10_000), 'ECONNREFUSED');
  t.is(await tcpProbe(address, port, 10_000), 'ECONNREFUSED');
});

test('a server that accepts connections and says nothing does not answer', async (t) => {
  const port = await listening(t, createServer());
  t.is(await tcpProbe(address, port, 10_000), undefined);
  t.is(
    await http2Probe(address, port, 200),
    'accepts connections and does not answer within 200 ms',
  );
});

test('nor does one that says something else, or hangs up', async (t) => {
  const greeter = await listening(
    t,
    createServer((socket) => socket.write('220 mail.example.com ready\r\n')),
  );
  t.is(await http2Probe(address, greeter, 10_000), 'does not speak HTTP/2');
  const rude = await listening(
    t,
    createServer((socket) => socket.resume().end()),
  );
  t.is(await http2Probe(address, rude, 10_000), 'closes the connection without an answer');
});

test('an answer may come in pieces', async (t) => {
  const port = await listening(
    t,
    createServer((socket) => {
      socket.setNoDelay(true).write(Buffer.from([0, 0, 0]));
      socket.once('data', () => socket.write(Buffer.from([4, 0, 0, 0, 0, 0])));
    }),
  );
  t.is(await http2Probe(address, port, 10_000), undefined);
});

// A port that is watched.

function monitored(answer: { reason: string | undefined }) {
  const clock = new ManualClock();
  let changes = 0;
  const monitor = new PortMonitor({
    clock,
    onChange: () => (changes += 1),
    probe: () => Promise.resolve(answer.reason),
  });
  return { clock, monitor, changes: () => changes };
}

test('the first answer is noticed soon, and reported once', async (t) => {
  const answer: { reason: string | undefined } = { reason: 'ECONNREFUSED' };
  const { clock, monitor, changes } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  t.like(monitor.state('a'), { answers: false, hasAnswered: false, reason: 'ECONNREFUSED' });
  answer.reason = undefined;
  await clock.advance(250);
  t.like(monitor.state('a'), { answers: true, hasAnswered: true });
  await clock.advance(60_000);
  t.is(changes(), 1);
});

test('an answer counts only once its owner is confirmed', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { clock, monitor, changes } = monitored(answer);
  let owned = false;
  let asked = 0;
  await monitor.watch('a', '127.0.0.1', 1, () => {
    asked += 1;
    return owned ? Promise.resolve(true) : Promise.reject(new Error('cannot be known now'));
  });
  t.like(monitor.state('a'), { answers: false, hasAnswered: false, taken: true });
  owned = true;
  await clock.advance(250);
  t.like(monitor.state('a'), { answers: true, hasAnswered: true, taken: false });
  t.is(changes(), 2);
  await clock.advance(60_000);
  t.is(asked, 2);
});

test('one missed answer is forgiven, two are believed, and a return is noticed', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { clock, monitor, changes } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  answer.reason = 'no answer';
  await clock.advance(5_000);
  t.true(monitor.state('a')?.answers);
  await clock.advance(1_000);
  t.like(monitor.state('a'), { answers: false, hasAnswered: true, reason: 'no answer' });
  answer.reason = undefined;
  await clock.advance(1_000);
  t.true(monitor.state('a')?.answers);
  t.is(changes(), 3);
});

test('ports that are watched at the same time are probed at different times later', async (t) => {
  const clock = new ManualClock();
  const probedAtMs: number[] = [];
  const monitor = new PortMonitor({
    clock,
    onChange: () => undefined,
    probe() {
      probedAtMs.push(clock.now());
      return Promise.resolve(undefined);
    },
  });
  const ports = 1000;
  for (let i = 0; i < ports; i += 1) void monitor.watch(`${i}`, '127.0.0.1', i + 1);
  await settle();
  t.is(probedAtMs.length, ports, 'each is known at once');
  for (let round = 1; round <= 2; round += 1) {
    probedAtMs.length = 0;
    for (let tenth = 1; tenth <= 10; tenth += 1) {
      const before = probedAtMs.length;
      await clock.advance(500);
      const probed = probedAtMs.length - before;
      t.true(probed >= 90 && probed <= 110, `${probed} in tenth ${tenth} of period ${round}`);
    }
    t.is(probedAtMs.length, ports, 'each once in a period');
  }
});

test('a port under the same key but another address is another port', async (t) => {
  const answer: { reason: string | undefined } = { reason: undefined };
  const { monitor } = monitored(answer);
  await monitor.watch('a', '127.0.0.1', 1);
  answer.reason = 'no answer';
  await monitor.watch('a', '192.0.2.2', 1);
  t.like(monitor.state('a'), { answers: false, hasAnswered: false });
  monitor.close();
  t.is(monitor.state('a'), undefined);
});

// Ports of pods.

const HANGS = 'accepts connections and does not answer within 5000 ms';

const ready: ObservedDriver = {
  uid: 'd1',
  instance: 'c1',
  namespace: 'sjns-ads-dev',
  address: '10.0.0.1',
  port: 15002,
  condition: 'ready',
};

function setUp(answer: string | undefined) {
  const clock = new ManualClock();
  const state = { answer, probes: 0, watched: true };
  const probes = new PodProbes({
    probe: () => {
      state.probes += 1;
      return Promise.resolve(state.answer);
    },
    isWatched: () => state.watched,
    clock,
    onChange: () => undefined,
  });
  const observe = async (driver = ready) => {
    probes.observe([driver]);
    await settle();
    return probes.observe([driver])[0];
  };
  return { clock, state, observe, probes };
}

test('an idle driver that answers is what its pod says', async (t) => {
  const { observe, clock } = setUp(undefined);
  t.like(await observe(), { condition: 'ready', answeredAtMs: clock.now() });
});

test('one that stops answering is not ready, counted from then on', async (t) => {
  const { observe, clock, state } = setUp(undefined);
  await observe();
  const answeredAtMs = clock.now();
  state.answer = HANGS;
  await clock.advance(20_000);
  const driver = await observe();
  t.like(driver, { condition: 'not_ready', answeredAtMs });
  t.regex(driver?.reason ?? '', /accepts connections and does not answer/);
  t.true((driver?.silentSinceMs ?? 0) > answeredAtMs);
  state.answer = undefined;
  await clock.advance(20_000);
  t.is((await observe())?.condition, 'ready');
});

test('one that hangs when it is first looked at is not offered', async (t) => {
  t.is((await setUp(HANGS).observe())?.condition, 'not_ready');
});

test('one that cannot be reached from here, and never could, is believed', async (t) => {
  for (const answer of ['ECONNREFUSED', 'no answer within 5000 ms']) {
    t.is((await setUp(answer).observe())?.condition, 'ready');
  }
});

test('nobody else is probed: drivers that are not ready, or whose silence others notice', async (t) => {
  const { observe, state, clock } = setUp(undefined);
  state.watched = false;
  await observe();
  state.watched = true;
  await observe({ ...ready, condition: 'starting' });
  await clock.advance(60_000);
  t.is(state.probes, 0);
  t.is(clock.pending, 0);
});

test('thousands of idle drivers are probed less often', async (t) => {
  const { clock, state, probes } = setUp(undefined);
  const many = Array.from({ length: 2_000 }, (_, n) => ({ ...ready, uid: `d${n}` }));
  probes.observe(many);
  await settle();
  t.is(state.probes, 2_000);
  await clock.advance(1_000);
  t.true(state.probes >= 2_090 && state.probes <= 2_110, `${state.probes} after a second`);
  await clock.advance(19_000);
  t.is(state.probes, 4_000);
  probes.close();
});

test('thousands that cannot be reached are probed as seldom as those that answer', async (t) => {
  const { clock, state, probes } = setUp('ECONNREFUSED');
  probes.observe(Array.from({ length: 2_000 }, (_, n) => ({ ...ready, uid: `d${n}` })));
  await settle();
  await clock.advance(60_000);
  t.true(state.probes <= 8_000, `${state.probes} probes`);
  probes.close();
});
