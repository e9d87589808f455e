import test from 'ava';
import { TypeUrl } from '../../src/xds/resource.js';
import { DEBOUNCE, HubHarness, shortForm, VIEW } from '../support/xds-hub.js';
import { cluster, endpoints, listener, route, secret } from '../support/xds-resources.js';

const { CLUSTER, ENDPOINTS, LISTENER, ROUTE, SECRET } = TypeUrl;
const NAMES = Array.from({ length: 3000 }, (_, i) => `spark/namespace-${i}`);
const THOUSANDS = NAMES.flatMap((name) => [cluster(name), endpoints(name, [1])]);
const gone = (typeUrl: TypeUrl, name: string) => ({ typeUrl, name });

/** A client of both protocols that has cluster `old` with its endpoints, a listener and a route to it. */
function warmed(protocol: 'sotw' | 'delta') {
  const harness = new HubHarness();
  harness.cache.update(VIEW, {
    upserts: [cluster('old'), endpoints('old', [1]), listener('front'), route('edge', 'to-old')],
  });
  const client = harness.client(protocol);
  client.xds.subscribe(CLUSTER, ['*']);
  client.xds.subscribe(ENDPOINTS, ['old']);
  client.xds.subscribe(LISTENER, ['*']);
  client.xds.subscribe(ROUTE, ['edge']);
  client.takeAll();
  return { harness, client };
}

for (const protocol of ['delta', 'sotw'] as const) {
  test(`${protocol}: what is referred to comes first, removals last`, async (t) => {
    const { harness, client } = warmed(protocol);
    client.xds.subscribe(ENDPOINTS, ['new']);
    client.takeAll();
    harness.cache.update(VIEW, {
      upserts: [
        route('edge', 'to-new'),
        listener('front', 'changed'),
        endpoints('new', [2]),
        cluster('new'),
      ],
      removes: [gone(CLUSTER, 'old'), gone(ENDPOINTS, 'old')],
    });
    await harness.settle();
    t.deepEqual(
      shortForm(client.takeAll()),
      protocol === 'delta'
        ? [
            'Cluster+new',
            'ClusterLoadAssignment+new',
            'Listener+front',
            'RouteConfiguration+edge',
            'ClusterLoadAssignment-old',
            'Cluster-old',
          ]
        : [
            'Cluster+new+old',
            'ClusterLoadAssignment+new',
            'Listener+front',
            'RouteConfiguration+edge',
            'Cluster+new',
          ],
    );
    t.deepEqual([...client.xds.resources(CLUSTER).keys()], ['new']);
  });

  test(`${protocol}: routes wait for a cluster that cannot be sent yet, its endpoints do not`, async (t) => {
    const { harness, client } = warmed(protocol);
    harness.cache.update(VIEW, { upserts: [cluster('first')] });
    await harness.settle();
    const unanswered = client.inbox.splice(0);
    client.xds.subscribe(ENDPOINTS, ['first', 'second']);
    client.takeAll();
    harness.cache.update(VIEW, {
      upserts: [
        cluster('second'),
        endpoints('first', [1]),
        endpoints('second', [2]),
        listener('front', 'changed'),
        route('edge', 'to-second'),
      ],
    });
    await harness.settle();
    t.deepEqual(shortForm(client.takeAll()), ['ClusterLoadAssignment+first+second']);
    const [response] = unanswered;
    if (response) client.xds.take(response);
    t.deepEqual(shortForm(client.takeAll()), [
      protocol === 'delta' ? 'Cluster+second' : 'Cluster+first+old+second',
      // Told again, as Envoy waits for it after an update of the cluster.
      'ClusterLoadAssignment+second',
      'Listener+front',
      'RouteConfiguration+edge',
    ]);
  });

  test(`${protocol}: a changed cluster is followed by its endpoints though they did not change`, async (t) => {
    const { harness, client } = warmed(protocol);
    const { revision } = harness.cache;
    harness.cache.update(VIEW, { upserts: [cluster('old', 'changed')] });
    await harness.settle();
    client.takeOne();
    t.is(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'old'), revision + 1, 'nothing new in it');
    t.deepEqual(shortForm(client.takeAll()), ['ClusterLoadAssignment+old']);
  });

  test(`${protocol}: a burst of changes is one push of the newest state`, async (t) => {
    const { harness, client } = warmed(protocol);
    for (let port = 10; port < 30; port += 1) {
      harness.cache.update(VIEW, { upserts: [endpoints('old', [port])] });
      await harness.clock.advance(1);
    }
    t.deepEqual(client.inbox, []);
    await harness.clock.advance(5);
    t.deepEqual(
      client.takeAll().map(({ resources }) => resources[0]?.value),
      [
        endpoints('old', [29]).deltaField.subarray(
          -(client.xds.resources(ENDPOINTS).get('old')?.value.length ?? 0),
        ),
      ],
    );
  });

  test(`${protocol}: changes that never pause are pushed all the same`, async (t) => {
    const { harness, client } = warmed(protocol);
    for (let port = 10; port < 80; port += 1) {
      harness.cache.update(VIEW, { upserts: [endpoints('old', [port])] });
      await harness.clock.advance(1);
    }
    t.is(client.inbox.length, 1);
  });

  test(`${protocol}: what changed and changed back is not pushed`, async (t) => {
    const { harness, client } = warmed(protocol);
    harness.cache.update(VIEW, { upserts: [endpoints('old', [9])] });
    harness.cache.update(VIEW, { upserts: [endpoints('old', [1]), secret('never', 'seen')] });
    harness.cache.update(VIEW, { removes: [gone(SECRET, 'never')] });
    await harness.settle();
    t.deepEqual(client.inbox, []);
  });

  test(`${protocol}: a client that does not answer is sent the newest state when it does, not a backlog`, async (t) => {
    const { harness, client } = warmed(protocol);
    for (let port = 10; port < 20; port += 1) {
      harness.cache.update(VIEW, {
        upserts: [endpoints('old', [port]), cluster('old', `${port}`)],
      });
      await harness.settle();
    }
    t.is(client.inbox.length, 2, 'one response for each type');
    const taken = client.takeAll();
    t.is(taken.length, 4);
    const held = client.xds.resources(ENDPOINTS).get('old');
    t.true(
      endpoints('old', [19])
        .deltaField.subarray(-(held?.value.length ?? 0))
        .equals(held?.value ?? Buffer.alloc(0)),
    );
  });

  test(`${protocol}: a connection that takes no more is not written to until it does`, async (t) => {
    const { harness, client } = warmed(protocol);
    client.writable = false;
    harness.cache.update(VIEW, { upserts: [cluster('new'), endpoints('old', [2])] });
    await harness.settle();
    t.is(client.inbox.length, 1);
    client.takeAll();
    harness.cache.update(VIEW, { upserts: [endpoints('old', [3])] });
    await harness.settle();
    t.is(client.inbox.length, 0);
    client.drained();
    t.deepEqual(shortForm(client.takeAll()), ['ClusterLoadAssignment+old']);
  });

  test(`${protocol}: a rejected version is not sent again, a newer one is`, async (t) => {
    const { harness, client } = warmed(protocol);
    harness.cache.update(VIEW, { upserts: [route('edge', 'bad')] });
    await harness.settle();
    client.takeOne('virtual host is bad');
    harness.cache.update(VIEW, { upserts: [cluster('new')] });
    await harness.settle();
    client.xds.subscribe(ROUTE, []);
    t.false(shortForm(client.takeAll()).join().includes('Route'));
    const status = () => harness.hub.nodes()[0]?.types.find(({ typeUrl }) => typeUrl === ROUTE);
    t.is(status()?.state, 'NACKED');
    t.is(status()?.error, 'virtual host is bad');
    t.is(harness.tally.of(ROUTE).nacks, 1);

    harness.cache.update(VIEW, { upserts: [route('edge', 'good')] });
    await harness.settle();
    t.deepEqual(shortForm(client.takeAll()), ['RouteConfiguration+edge']);
    t.is(status()?.state, 'SYNCED');
    t.is(status()?.error, undefined);
  });

  test(`${protocol}: what was rejected with something else is offered again once that is mended`, async (t) => {
    const { harness, client } = warmed(protocol);
    client.xds.subscribe(ENDPOINTS, ['x', 'y']);
    client.takeAll();
    const added = harness.cache.update(VIEW, {
      upserts: [endpoints('x', [1]), endpoints('y', [1])],
    });
    await harness.settle();
    client.takeOne('x is bad');
    t.true(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'y') < added);
    t.is(shortForm([client.takeOne('x is bad')])[0], 'ClusterLoadAssignment+x');
    t.deepEqual(shortForm(client.takeAll()), ['ClusterLoadAssignment+y'], 'y is none of its fault');
    t.is(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'y'), harness.cache.revision);
    t.true(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'x') < added);
    harness.cache.update(VIEW, { upserts: [endpoints('x', [2])] });
    await harness.settle();
    t.deepEqual(shortForm(client.takeAll()), ['ClusterLoadAssignment+x']);
    t.is(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'x'), harness.cache.revision);
  });

  test(`${protocol}: of many that are rejected together only the bad one stays out, whatever goes meanwhile`, async (t) => {
    const { harness, client } = warmed(protocol);
    const names = Array.from({ length: 50 }, (_, i) => `n${i}`);
    client.xds.subscribe(ENDPOINTS, names);
    client.takeAll();
    harness.cache.update(VIEW, { upserts: names.map((name) => endpoints(name, [1])) });
    await harness.settle();
    let responses = 0;
    for (; client.inbox.length > 0; responses += 1) {
      const bad = client.inbox[0]?.resources.some(({ name }) => name === 'n33');
      client.takeOne(bad ? 'n33 is bad' : undefined);
      if (responses === 3) {
        harness.cache.update(VIEW, {
          upserts: [endpoints('n1', [2])],
          removes: [gone(ENDPOINTS, 'n2')],
        });
        await harness.settle();
      }
    }
    t.true(responses < 20, `${responses} responses`);
    const kept = protocol === 'delta' ? ['n2', 'n33'] : ['n33'];
    const missing = names.filter((name) => !client.xds.resources(ENDPOINTS).has(name));
    t.deepEqual(missing.toSorted(), kept);
    const late = names.filter(
      (name) => harness.hub.minAcknowledgedRevision(ENDPOINTS, name) < harness.cache.revision,
    );
    t.deepEqual(late, ['n33']);
  });

  test(`${protocol}: after a reconnect, too, what is gone goes last, when no route leads there`, async (t) => {
    const { harness, client } = warmed(protocol);
    client.disconnect();
    harness.cache.update(VIEW, {
      upserts: [
        cluster('new'),
        endpoints('new', [2]),
        listener('front', 'changed'),
        route('edge', 'to-new'),
      ],
      removes: [gone(CLUSTER, 'old'), gone(ENDPOINTS, 'old')],
    });
    client.connect();
    await harness.settle();
    t.deepEqual(
      shortForm(client.takeAll()),
      protocol === 'delta'
        ? [
            'Cluster+new',
            'Listener+front',
            'RouteConfiguration+edge',
            'ClusterLoadAssignment-old',
            'Cluster-old',
          ]
        : ['Cluster+new+old', 'Listener+front', 'RouteConfiguration+edge', 'Cluster+new'],
    );
  });

  test(`${protocol}: one that comes back without routes is told what is gone when it asks for nothing more`, async (t) => {
    const harness = new HubHarness();
    harness.cache.update(VIEW, { upserts: [cluster('old'), cluster('stays')] });
    const client = harness.client(protocol);
    client.xds.subscribe(CLUSTER, ['*']);
    client.takeAll();
    client.disconnect();
    harness.cache.update(VIEW, { removes: [gone(CLUSTER, 'old')] });
    client.connect();
    client.takeAll();
    await harness.clock.advance(1_000);
    client.takeAll();
    t.deepEqual([...client.xds.resources(CLUSTER).keys()], ['stays']);
  });

  test(`${protocol}: a resource is acknowledged when every subscriber of it has answered`, async (t) => {
    const { harness, client } = warmed(protocol);
    const other = harness.client(protocol, 'envoy-2');
    other.xds.subscribe(ENDPOINTS, ['old']);
    other.takeAll();
    const unrelated = harness.client(protocol, 'envoy-3');
    unrelated.xds.subscribe(ENDPOINTS, ['elsewhere']);
    let calls = 0;
    harness.hub.onAck(() => (calls += 1));
    const acknowledged = () => harness.hub.minAcknowledgedRevision(ENDPOINTS, 'old');

    const first = harness.cache.update(VIEW, { upserts: [endpoints('old', [1, 2])] });
    t.true(acknowledged() < first);
    await harness.settle();
    client.takeAll();
    t.is(calls, 1);
    t.true(acknowledged() < first);
    const second = harness.cache.update(VIEW, { upserts: [endpoints('old', [1, 2, 3])] });
    other.takeOne();
    t.true(acknowledged() >= first);
    t.true(acknowledged() < second);
    await harness.settle();
    client.takeAll();
    other.disconnect();
    t.is(acknowledged(), second, 'those who left do not count');
    t.is(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'nobody asks'), second);
  });

  test(`${protocol}: a new client of an empty view is answered, so that it need not wait`, (t) => {
    const harness = new HubHarness();
    const client = harness.client(protocol);
    client.xds.subscribe(CLUSTER, []);
    t.deepEqual(shortForm(client.takeAll()), ['Cluster']);
    const explicit = harness.client(protocol);
    explicit.xds.subscribe(CLUSTER, ['*']);
    t.deepEqual(shortForm(explicit.takeAll()), ['Cluster']);
  });

  test(`${protocol}: thousands of names: a change costs only those who subscribe to it`, async (t) => {
    const harness = new HubHarness();
    harness.cache.update(VIEW, { upserts: THOUSANDS });
    const all = harness.client(protocol, 'all');
    all.xds.subscribe(CLUSTER, ['*']);
    all.xds.subscribe(ENDPOINTS, NAMES);
    const few = harness.client(protocol, 'few');
    few.xds.subscribe(ENDPOINTS, NAMES.slice(0, 2));
    all.takeAll();
    few.takeAll();
    t.is(all.xds.resources(CLUSTER).size, 3000);
    t.is(all.xds.resources(ENDPOINTS).size, 3000);
    harness.cache.update(VIEW, { upserts: [endpoints('spark/namespace-7', [1, 2])] });
    await harness.settle();
    t.deepEqual(shortForm(all.takeAll()), ['ClusterLoadAssignment+spark/namespace-7']);
    t.deepEqual(few.inbox, []);
  });
}

test('delta: a client that comes back is sent what changed and told what went while it was away', async (t) => {
  const { harness, client } = warmed('delta');
  harness.cache.update(VIEW, { upserts: [cluster('other'), endpoints('other', [5])] });
  client.xds.subscribe(ENDPOINTS, ['other']);
  await harness.settle();
  client.takeAll();
  client.disconnect();
  harness.cache.update(VIEW, {
    upserts: [endpoints('other', [6]), route('edge', 'changed')],
    removes: [gone(CLUSTER, 'old'), gone(ENDPOINTS, 'old')],
  });
  client.connect();
  t.deepEqual(shortForm(client.takeAll()).toSorted(), [
    'Cluster-old',
    'ClusterLoadAssignment+other',
    'ClusterLoadAssignment-old',
    'RouteConfiguration+edge',
  ]);
});

test('delta: endpoints follow a cluster that changed while the client was away, though it has them', (t) => {
  const { harness, client } = warmed('delta');
  client.disconnect();
  harness.cache.update(VIEW, { upserts: [cluster('old', 'changed')] });
  client.connect();
  t.deepEqual(shortForm(client.takeAll()), ['Cluster+old', 'ClusterLoadAssignment+old']);
});

test('delta: nothing is sent to a client that comes back and has all; it counts as synced', async (t) => {
  const { harness, client } = warmed('delta');
  client.connect();
  await harness.settle();
  t.deepEqual(client.inbox, []);
  t.deepEqual(
    harness.hub.nodes()[0]?.types.map(({ state }) => state),
    ['SYNCED', 'SYNCED', 'SYNCED', 'SYNCED'],
  );
});

test('sotw: clusters and listeners that a returning client has are not sent again', (t) => {
  const { client } = warmed('sotw');
  client.connect();
  t.deepEqual(shortForm(client.takeAll()), [
    'ClusterLoadAssignment+old',
    'RouteConfiguration+edge',
  ]);
});

test('sotw: one that comes back and asks for everything gets it, if it had asked for some by name', async (t) => {
  const harness = new HubHarness();
  harness.cache.update(VIEW, { upserts: [cluster('a'), cluster('b'), listener('front')] });
  for (const earlier of [['a'], ['*', 'narrowed']]) {
    const client = harness.client('sotw');
    client.xds.subscribe(CLUSTER, earlier);
    client.takeAll();
    if (earlier.includes('narrowed')) {
      client.xds.subscribe(CLUSTER, ['a']);
      client.xds.unsubscribe(CLUSTER, ['*', 'narrowed']);
      client.takeAll();
    }
    t.deepEqual([...client.xds.resources(CLUSTER).keys()], ['a']);
    client.disconnect();
    client.xds.connect(() => undefined);
    client.xds.subscribe(CLUSTER, ['*']);
    client.xds.unsubscribe(CLUSTER, ['a']);
    client.xds.resources(CLUSTER);
    client.connect();
    await harness.settle();
    client.takeAll();
    t.deepEqual([...client.xds.resources(CLUSTER).keys()].toSorted(), ['a', 'b']);
  }
});

test('delta: a name that does not exist is told as removed, and sent once it exists', async (t) => {
  const harness = new HubHarness();
  const client = harness.client('delta');
  client.xds.subscribe(CLUSTER, ['on-demand']);
  t.deepEqual(shortForm(client.takeAll()), ['Cluster-on-demand']);
  harness.cache.update(VIEW, { upserts: [cluster('on-demand'), cluster('not asked for')] });
  await harness.settle();
  t.deepEqual(shortForm(client.takeAll()), ['Cluster+on-demand']);
});

test('sotw: only the named clusters are in the full state', async (t) => {
  const harness = new HubHarness();
  harness.cache.update(VIEW, { upserts: [cluster('a'), cluster('b'), cluster('c')] });
  const client = harness.client('sotw');
  client.xds.subscribe(CLUSTER, ['a', 'b']);
  t.deepEqual(shortForm(client.takeAll()), ['Cluster+a+b']);
  harness.cache.update(VIEW, { upserts: [cluster('a', 'x'), cluster('c', 'x')] });
  await harness.settle();
  t.deepEqual(shortForm(client.takeAll()), ['Cluster+a+b']);
});

test('sotw: a request with a nonce that has been superseded is ignored', async (t) => {
  const { harness, client } = warmed('sotw');
  harness.cache.update(VIEW, { upserts: [endpoints('old', [2]), endpoints('new', [2])] });
  await harness.settle();
  // Sent before the client has seen the newest response: its answer will name both.
  client.xds.subscribe(ENDPOINTS, ['new']);
  t.is(client.inbox.length, 1);
  t.deepEqual(shortForm(client.takeAll()), [
    'ClusterLoadAssignment+old',
    'ClusterLoadAssignment+new',
  ]);
});

test('delta: a subscription counts even in a request with an old nonce', async (t) => {
  const { harness, client } = warmed('delta');
  harness.cache.update(VIEW, { upserts: [endpoints('old', [2]), endpoints('new', [2])] });
  await harness.settle();
  client.xds.subscribe(ENDPOINTS, ['new']);
  t.is(client.inbox.length, 1, 'sent once the first response is answered');
  t.deepEqual(shortForm(client.takeAll()), [
    'ClusterLoadAssignment+old',
    'ClusterLoadAssignment+new',
  ]);
});

test('an unsubscribed name is not sent any more', async (t) => {
  for (const protocol of ['delta', 'sotw'] as const) {
    const { harness, client } = warmed(protocol);
    client.xds.unsubscribe(ENDPOINTS, ['old']);
    harness.cache.update(VIEW, { upserts: [endpoints('old', [7])] });
    await harness.settle();
    t.deepEqual(client.inbox, []);
    t.is(harness.hub.minAcknowledgedRevision(ENDPOINTS, 'old'), harness.cache.revision);
  }
});

test('each client is shown its own view and no secret of another', async (t) => {
  const harness = new HubHarness((_peer, node) => ({ view: node.id }));
  harness.cache.update('one', { upserts: [secret('tls', 'one'), cluster('a')] });
  harness.cache.update('two', { upserts: [secret('other', 'two')] });
  const [one, two] = [harness.client('delta', 'one'), harness.client('delta', 'two')];
  for (const client of [one, two]) {
    client.xds.subscribe(SECRET, ['tls', 'other', '*']);
    client.takeAll();
  }
  t.deepEqual([...one.xds.resources(SECRET).keys()], ['tls']);
  t.deepEqual([...two.xds.resources(SECRET).keys()], ['other']);
  harness.cache.update('two', { upserts: [secret('tls', 'two')] });
  await harness.settle();
  t.deepEqual(one.inbox, []);
  t.deepEqual(shortForm(two.takeAll()), ['Secret+tls']);
});

test('who is connected, to what, and how far', async (t) => {
  const { harness, client } = warmed('delta');
  const [node] = harness.hub.nodes();
  t.like(node, { id: 'envoy-1', cluster: 'test', view: VIEW, protocol: 'delta', aggregated: true });
  t.like(node?.types[0], { typeUrl: CLUSTER, state: 'SYNCED', wildcard: true, names: 0 });
  t.is(node?.types[0]?.version, harness.cache.version(VIEW, CLUSTER));
  t.is(node?.types[0]?.lastAckMs, harness.clock.now());
  harness.cache.update(VIEW, { upserts: [cluster('new')] });
  await harness.clock.advance(DEBOUNCE.quietMs);
  t.is(harness.hub.nodes()[0]?.types[0]?.state, 'STALE');
  await harness.clock.advance(40);
  client.takeAll();
  t.deepEqual(harness.tally.of(CLUSTER), { pushes: 2, acks: 2, nacks: 0, ackMs: 40 });
  client.disconnect();
  t.deepEqual(harness.hub.nodes(), []);
});

test('requests that cannot be served end the stream with the reason', (t) => {
  const harness = new HubHarness((_peer, node) =>
    node.id === 'stranger' ? { refused: 'stranger has no view' } : { view: VIEW },
  );
  const unreadable = harness.client('delta');
  unreadable.xds.sendRaw(Buffer.from([0xff]));
  t.is(unreadable.errors[0]?.code, 'XDS_REQUEST_INVALID');
  const nameless = harness.client('delta', '');
  nameless.xds.subscribe(CLUSTER, ['*']);
  t.regex(nameless.errors[0]?.message ?? '', /node\.id/);
  const stranger = harness.client('sotw', 'stranger');
  stranger.xds.subscribe(CLUSTER, ['*']);
  t.is(stranger.errors[0]?.code, 'XDS_NODE_REFUSED');
  t.is(stranger.errors[0]?.message, 'stranger has no view');
  const misdirected = harness.client('delta');
  misdirected.connect(SECRET);
  misdirected.xds.subscribe(CLUSTER, ['*']);
  t.regex(misdirected.errors[0]?.message ?? '', /for .*Secret, not for .*Cluster/);
  t.deepEqual(
    [...unreadable.inbox, ...nameless.inbox, ...stranger.inbox, ...misdirected.inbox],
    [],
  );
});
