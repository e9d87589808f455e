import test from 'ava';
import { Registry } from 'prom-client';
import { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { systemClock } from '../../src/model/clock.js';
import { kubernetesMetrics } from '../../src/processes/kubernetes.js';
import { KubeApiServer } from '../support/kube-api-server.js';

let server: KubeApiServer;
test.before(async () => {
  server = await KubeApiServer.start();
});
test.after.always(() => server?.stop());

test.serial(
  'a service account may do what it is granted and is told what it may not',
  async (t) => {
    await server.createNamespace('team-a');
    const api = await server.serviceAccount('team-a', 'someone');
    const error = await t.throwsAsync(api.request({ path: '/api/v1/namespaces/team-a/pods' }), {
      instanceOf: KubernetesError,
    });
    t.is(error?.status, 403);
    t.regex(error?.message ?? '', /cannot list resource "pods"/);
  },
);

test.serial(
  'a watch tells what happens, ends when told, and says why it cannot start',
  async (t) => {
    const admin = server.admin();
    await server.createNamespace('team-b');
    const stop = new AbortController();
    const path = '/api/v1/namespaces/team-b/configmaps';
    const list = await admin.request<{ metadata: { resourceVersion: string } }>({ path });
    const watch = admin.watch({
      path,
      query: { resourceVersion: list.metadata.resourceVersion },
      signal: stop.signal,
      silenceMs: 60_000,
    });
    await admin.request({ method: 'POST', path, body: { metadata: { name: 'one' } } });
    const first = await watch.next();
    t.is(first.value?.type, 'ADDED');
    stop.abort();
    await t.throwsAsync(watch.next(), { instanceOf: KubernetesError });
  },
);

test.serial('a watch from a version that is no longer kept is told so', async (t) => {
  const path = '/api/v1/namespaces/default/configmaps';
  await server.compact();
  await server.restartApiServer();
  const registry = new Registry();
  const api = new KubernetesApi(server.adminConfig(), kubernetesMetrics(registry, systemClock));
  t.teardown(() => api.close());
  const old = api.watch({
    path,
    query: { resourceVersion: '1' },
    signal: new AbortController().signal,
    silenceMs: 60_000,
  });
  const expired = await t.throwsAsync(old.next(), { instanceOf: KubernetesError });
  t.true(expired?.isExpired);
  t.regex(
    await registry.metrics(),
    /^spark_gateway_kubernetes_watch_failures_total\{resource="configmaps",reason="expired"\} 1$/m,
  );
});

test.serial("pods that break the namespace's security standard are refused", async (t) => {
  await server.createNamespace('strict', { 'pod-security.kubernetes.io/enforce': 'restricted' });
  const error = await t.throwsAsync(
    server.admin().request({
      method: 'POST',
      path: '/api/v1/namespaces/strict/pods',
      body: { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'i' }] } },
    }),
    { instanceOf: KubernetesError },
  );
  t.regex(error?.message ?? '', /violates PodSecurity/);
});

test.serial('the server comes back with what it held', async (t) => {
  await server.createNamespace('kept');
  await server.restartApiServer();
  const namespace = await server
    .admin()
    .request<{ metadata: { name: string } }>({ path: '/api/v1/namespaces/kept' });
  t.is(namespace.metadata.name, 'kept');
});
