import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { KubeConfig } from '@kubernetes/client-node';
import test, { type ExecutionContext } from 'ava';
import { KubernetesApi } from '../../../src/lib/kubernetes/kubernetes-api.js';
import { isLater, isOpen, KubernetesError } from '../../../src/lib/kubernetes/http.js';
import { TestAuthority } from '../../support/certificates.js';

/** An API server whose flow control puts off as many requests as `putOff` says. */
async function sheddingServer(t: ExecutionContext, retryAfter: string | undefined, putOff: number) {
  const { certificatePem: cert, keyPem: key } = new TestAuthority().issue({ commonName: 'api' });
  const asked: string[] = [];
  const server = createServer({ cert, key }, (request, response) => {
    asked.push(request.method ?? '');
    if (asked.length > putOff) {
      response.end('{"kind":"Pod"}');
      return;
    }
    const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter };
    response.writeHead(429, { 'content-type': 'text/plain; charset=utf-8', ...headers });
    response.end('Too many requests, please try again later.\n');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const config = new KubeConfig();
  const { port } = server.address() as AddressInfo;
  config.loadFromClusterAndUser(
    { name: 'c', server: `https://127.0.0.1:${port}`, skipTLSVerify: true },
    { name: 'u', token: 't' },
  );
  const api = new KubernetesApi(config);
  t.teardown(() => {
    api.close();
    server.close();
  });
  return { api, asked };
}

test('a request that flow control puts off is made again after the pause, and answered', async (t) => {
  const { api, asked } = await sheddingServer(t, '0', 2);
  t.deepEqual(await api.request({ method: 'POST', path: '/x', body: {} }), { kind: 'Pod' });
  t.deepEqual(asked, ['POST', 'POST', 'POST']);
});

test('one that is put off for longer than it has time is neither refused nor open: it is for later', async (t) => {
  const { api, asked } = await sheddingServer(t, '30', 1_000);
  const error = await t.throwsAsync<KubernetesError>(
    api.request({ method: 'POST', path: '/x', body: {} }),
    { instanceOf: KubernetesError },
  );
  t.is(error.verdict, 'later');
  t.is(error.retryAfterMs, 30_000);
  t.true(isLater(error));
  t.false(isOpen(error));
  t.is(asked.length, 1, 'the API server is left alone');
});

test('a watch that is put off says for how long', async (t) => {
  const { api } = await sheddingServer(t, '7', 1);
  const signal = new AbortController().signal;
  const watch = api.watch({ path: '/x', query: {}, signal, silenceMs: 60_000 });
  const error = await t.throwsAsync<KubernetesError>(watch.next(), { instanceOf: KubernetesError });
  t.is(error.retryAfterMs, 7_000);
});
