import test from 'ava';
import { pino } from 'pino';
import { NearestFactory } from '../../src/discovery/kubernetes/nearest-factory.js';
import { viewPod } from '../../src/discovery/kubernetes/pod.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import type { ContainerStatus, Pod } from '../../src/lib/kubernetes/objects.js';
import type { DriverCondition, RequestedDriver } from '../../src/model/driver.js';
import { GatewayError } from '../../src/model/errors.js';
import type { FleetProblem } from '../../src/model/fleet-problem.js';
import { ManualClock } from '../support/manual-clock.js';

// Pods as drivers.

const START = '2030-01-01T10:00:00Z';
const RUNNING = '2030-01-01T10:00:20Z';
const LATER = '2030-01-01T10:05:00Z';

interface Parts {
  readonly ready?: 'True' | 'False' | 'Unknown';
  readonly readySince?: string;
  readonly container?: Partial<ContainerStatus>;
  readonly status?: Pod['status'];
  readonly metadata?: Partial<Pod['metadata']>;
  readonly spec?: Pod['spec'];
}

function pod({
  ready = 'True',
  readySince = START,
  container,
  status,
  metadata,
  spec,
}: Parts): Pod {
  return {
    metadata: { name: 'driver', namespace: 'sjns-ads-dev', uid: 'u1', ...metadata },
    spec: { containers: [{ name: 'spark-kubernetes-driver' }], ...spec },
    status: {
      phase: 'Running',
      podIP: '10.1.2.3',
      conditions: [{ type: 'Ready', status: ready, lastTransitionTime: readySince }],
      containerStatuses: [
        {
          name: 'spark-kubernetes-driver',
          containerID: 'containerd://abc',
          state: { running: { startedAt: RUNNING } },
          ...container,
        },
      ],
      ...status,
    },
  };
}

const cases: readonly {
  readonly what: string;
  readonly pod: Pod;
  readonly condition: DriverCondition;
  readonly reason?: RegExp;
}[] = [
  { what: 'a ready pod', pod: pod({ readySince: LATER }), condition: 'ready' },
  {
    what: 'a pod whose probe has not succeeded yet',
    pod: pod({ ready: 'False', readySince: START }),
    condition: 'starting',
  },
  {
    what: 'a pod whose probe has succeeded and fails now',
    pod: pod({ ready: 'False', readySince: LATER }),
    condition: 'not_ready',
  },
  {
    what: 'a pod on a node that has gone silent',
    pod: pod({ ready: 'Unknown', readySince: LATER }),
    condition: 'not_ready',
  },
  {
    what: 'a pod that was deleted and still runs',
    pod: pod({ metadata: { deletionTimestamp: LATER } }),
    condition: 'terminating',
  },
  {
    what: 'a pod that was deleted and has ended',
    pod: pod({
      metadata: { deletionTimestamp: LATER },
      container: { state: { terminated: { exitCode: 143, reason: 'Error' } } },
    }),
    condition: 'ended',
    reason: /exit status 143/,
  },
  {
    what: 'a driver that ran out of memory',
    pod: pod({ container: { state: { terminated: { exitCode: 137, reason: 'OOMKilled' } } } }),
    condition: 'ended',
    reason: /OOMKilled, exit status 137/,
  },
  {
    what: 'an evicted pod',
    pod: pod({
      status: { phase: 'Failed', reason: 'Evicted', message: 'The node was low on memory.' },
    }),
    condition: 'ended',
    reason: /Evicted: The node was low on memory/,
  },
  {
    what: 'an image that cannot be pulled',
    pod: pod({
      ready: 'False',
      container: {
        state: { waiting: { reason: 'ImagePullBackOff', message: 'Back-off pulling image "x"' } },
      },
      status: { phase: 'Pending' },
    }),
    condition: 'starting',
    reason: /ImagePullBackOff: Back-off pulling image "x"/,
  },
  {
    what: 'a pod that fits on no node',
    pod: pod({
      status: {
        phase: 'Pending',
        conditions: [
          {
            type: 'PodScheduled',
            status: 'False',
            reason: 'Unschedulable',
            message: '0/3 nodes are available',
          },
        ],
        containerStatuses: [],
      },
    }),
    condition: 'starting',
    reason: /Unschedulable: 0\/3 nodes/,
  },
  {
    what: 'a ready pod without an address',
    pod: pod({ status: { podIP: '' } }),
    condition: 'starting',
    reason: /no IP address/,
  },
  {
    what: 'a pod whose address is none',
    pod: pod({ status: { podIP: 'pod.example' } }),
    condition: 'starting',
    reason: /no IP address/,
  },
  {
    what: 'a pod of which nothing is known yet',
    pod: { metadata: { name: 'driver', namespace: 'sjns-ads-dev', uid: 'u1' } },
    condition: 'starting',
  },
];

for (const { what, pod: given, condition, reason } of cases) {
  test(`${what} is ${condition}`, (t) => {
    const view = viewPod(given, 15002);
    t.is(view.condition, condition);
    if (reason) t.regex(view.reason ?? '', reason);
  });
}

test('the identity is the UID and the ID of the container that Spark runs in', (t) => {
  const view = viewPod(
    pod({
      status: {
        phase: 'Running',
        podIP: 'fd00::1',
        containerStatuses: [
          { name: 'fluent-bit', containerID: 'containerd://sidecar' },
          { name: 'spark-kubernetes-driver', containerID: 'containerd://spark' },
        ],
      },
    }),
    15002,
  );
  t.is(view.uid, 'u1');
  t.is(view.instance, 'containerd://spark');
  t.is(view.address, 'fd00::1');
});

test('a port named spark-connect says where the driver listens and which container it is', (t) => {
  const view = viewPod(
    pod({
      spec: {
        containers: [
          { name: 'sidecar', ports: [{ name: 'http', containerPort: 80 }] },
          { name: 'main', ports: [{ name: 'spark-connect', containerPort: 15003 }] },
        ],
      },
      status: {
        phase: 'Running',
        podIP: '10.1.2.3',
        containerStatuses: [
          { name: 'sidecar', containerID: 'containerd://sidecar' },
          { name: 'main', containerID: 'containerd://main' },
        ],
      },
    }),
    15002,
  );
  t.is(view.port, 15003);
  t.is(view.instance, 'containerd://main');
});

test('a reason is cut to its telling line', (t) => {
  const message = `starting\n${'x'.repeat(5_000)} failed\n\tat a.b(C.java)`;
  const view = viewPod(pod({ status: { phase: 'Failed', reason: 'Error', message } }), 15002);
  t.regex(view.reason ?? '', /^Its pod ended: Error: x{299}…\.$/);
});

// Templates: the nearest one makes the driver.

const NAMESPACE = 'sjns-ads-dev';

class Cluster {
  readonly name: string;
  readonly requested = new Map<string, RequestedDriver>();
  /** Resources that do not come up. */
  readonly stuck = new Set<string>();
  /** What becomes of creating a driver there. */
  failure: Error | undefined;
  readonly deleted: string[] = [];
  away = false;
  /** Namespaces that cannot be read there. */
  readonly unreadable = new Set<string>();

  constructor(name: string) {
    this.name = name;
  }

  readonly factory = {
    inDoubt: (namespace: string) => this.unreadable.has(namespace),
    list: async () => {
      if (this.away) throw new Error('away');
      return [...this.requested.values()];
    },
    create: async (resource: string, namespace: string) => {
      if (this.failure) throw this.failure;
      this.requested.set(resource, { resource, namespace, createdAtMs: 0 });
    },
    delete: async (resource: string) => {
      this.deleted.push(resource);
      this.requested.delete(resource);
    },
  };

  readonly problems = (): FleetProblem[] =>
    [...this.stuck].map((name) => ({
      kind: 'driver_start_failed',
      object: { apiVersion: 'v1', kind: 'SparkConnect', name, namespace: NAMESPACE },
      message: 'Unschedulable',
    }));
}

function failure(status: number, reason: string): GatewayError {
  const cause = new KubernetesError(status, reason, reason);
  return new GatewayError('DRIVER_START_FAILED', 'It could not be made.', { cause });
}

const refusal = failure(403, 'Forbidden');

async function fixture() {
  const clock = new ManualClock();
  const near = new Cluster('near');
  const far = new Cluster('far');
  const factory = new NearestFactory([near, far], clock, pino({ level: 'silent' }));
  await factory.list();
  return { clock, near, far, factory };
}

test('a driver is made in the nearest cluster', async (t) => {
  const { near, far, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [['d1'], []]);
});

for (const [why, error] of [
  ['refuses', refusal],
  ['cannot be connected to', failure(0, 'ECONNREFUSED')],
] as const) {
  test(`a driver that the nearest cluster ${why} is made in the next`, async (t) => {
    const { near, far, factory } = await fixture();
    near.failure = error;
    await factory.create('d1', NAMESPACE);
    t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [[], ['d1']]);
  });
}

test('a driver is made in the next while the nearest cluster is away', async (t) => {
  const { near, far, factory } = await fixture();
  near.away = true;
  await factory.list();
  await factory.create('d1', NAMESPACE);
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [[], ['d1']]);
});

test('a namespace that one cluster cannot read is served by the next, the others as before', async (t) => {
  const { near, far, factory } = await fixture();
  near.unreadable.add(NAMESPACE);
  t.false(factory.inDoubt(NAMESPACE));
  await factory.create('d1', NAMESPACE);
  await factory.create('d2', 'sjns-other-dev');
  t.deepEqual([[...near.requested.keys()], [...far.requested.keys()]], [['d2'], ['d1']]);
  far.unreadable.add(NAMESPACE);
  t.true(factory.inDoubt(NAMESPACE));
  t.false(factory.inDoubt('sjns-other-dev'));
});

test('a driver that may have been made is neither made elsewhere nor deleted', async (t) => {
  const { near, far, factory } = await fixture();
  near.failure = failure(0, 'ETIMEDOUT');
  await t.throwsAsync(factory.create('d1', NAMESPACE), { code: 'DRIVER_START_FAILED' });
  t.deepEqual([near.deleted, [...far.requested.keys()], far.deleted], [[], [], []]);
});

test('a cluster in which a driver did not come up is the last choice for a while', async (t) => {
  const { clock, near, far, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  await factory.list();
  near.stuck.add('d1');
  await factory.delete('d1', NAMESPACE);
  near.stuck.clear();
  await factory.create('d2', NAMESPACE);
  t.true(far.requested.has('d2'));
  await factory.create('d3', 'sjns-other-dev');
  t.true(near.requested.has('d3'), 'another namespace may have room there');
  far.failure = refusal;
  await factory.create('d4', NAMESPACE);
  t.true(near.requested.has('d4'), 'better than nowhere');
  far.failure = undefined;
  await clock.advance(5 * 60_000);
  await factory.create('d5', NAMESPACE);
  t.true(near.requested.has('d5'));
});

test('a driver that came up and is deleted says nothing against its cluster', async (t) => {
  const { near, factory } = await fixture();
  await factory.create('d1', NAMESPACE);
  await factory.list();
  await factory.delete('d1', NAMESPACE);
  await factory.create('d2', NAMESPACE);
  t.true(near.requested.has('d2'));
});
