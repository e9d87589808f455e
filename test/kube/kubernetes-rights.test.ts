/** Access by the rights that one has in the cluster, with a real API server. */
import { randomUUID } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { KubernetesRights } from '../../src/console/kubernetes-rights.js';
import { systemClock } from '../../src/model/clock.js';
import { type ApplicableObject, KubeApiServer } from '../support/kube-api-server.js';
import { manifests } from '../support/kube-manifests.js';
import { ManualClock } from '../support/manual-clock.js';

const AUDIENCE = 'spark-gateway';
const RBAC = 'rbac.authorization.k8s.io';
let server: KubeApiServer;

test.before(async () => {
  server = await KubeApiServer.shared();
});
test.after.always(() => server?.stop());

/** The gateway with the rights that its manifest gives it, or without those. */
async function setUp({ delegated = true, clock = systemClock } = {}) {
  const namespace = `gateway-${randomUUID().slice(0, 8)}`;
  await server.createNamespace(namespace);
  const api = await server.serviceAccount(namespace, 'gateway');
  if (delegated) {
    const binding = manifests('k8s/rbac.yaml').find(
      ({ metadata }) => metadata.name === 'spark-gateway-token-reviews',
    );
    await server.apply({
      ...binding,
      metadata: { name: namespace },
      subjects: [{ kind: 'ServiceAccount', name: 'gateway', namespace }],
    } as unknown as ApplicableObject);
  }
  const rights = new KubernetesRights({ api, namespace, audience: AUDIENCE, clock });
  const identify = (token: string) =>
    rights.identify({ method: 'GET', headers: { authorization: `Bearer ${token}` } });
  return { namespace, identify };
}

/** A person's token, with these verbs on the gateway's records. */
async function person(
  namespace: string,
  verbs: readonly string[],
  audiences: readonly string[] = [AUDIENCE],
): Promise<string> {
  const name = `person-${randomUUID().slice(0, 8)}`;
  await server.serviceAccount(namespace, name);
  if (verbs.length > 0) {
    const metadata = { name, namespace };
    await server.apply({
      apiVersion: `${RBAC}/v1`,
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: ['spark-gateway.io'], resources: ['sparkdrivers'], verbs }],
    });
    await server.apply({
      apiVersion: `${RBAC}/v1`,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: RBAC, kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace }],
    });
  }
  const { status } = await server.admin().request<{ status: { token: string } }>({
    method: 'POST',
    path: `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
    body: {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: { audiences },
    },
  });
  return status.token;
}

const roles: readonly (readonly [readonly string[], string])[] = [
  [['get', 'list', 'watch', 'patch'], 'admin'],
  [['list'], 'read'],
  [[], 'none'],
];
for (const [verbs, role] of roles) {
  test(`who may ${verbs.join(', ') || 'nothing'} of the records has the role ${role}`, async (t) => {
    const { namespace, identify } = await setUp();
    const found = await identify(await person(namespace, verbs));
    t.is(found?.role, role as 'admin');
    t.is(found?.caller.principal.issuer, 'kubernetes');
    t.regex(
      found?.caller.principal.subject ?? '',
      new RegExp(`^system:serviceaccount:${namespace}:`),
    );
    t.true((found?.goodUntilMs ?? 0) > Date.now());
  });
}

test('rights in another namespace count for nothing', async (t) => {
  const { identify } = await setUp();
  const other = await setUp();
  const found = await identify(await person(other.namespace, ['list', 'patch']));
  t.is(found?.role, 'none');
});

test('a token for the API server itself is left to others, as is one that is no such token', async (t) => {
  const { namespace, identify } = await setUp();
  const audience = 'https://kubernetes.default.svc';
  t.is(await identify(await person(namespace, ['patch'], [audience])), undefined);
  t.is(await identify('no.such.token'), undefined);
});

/** The same claims, signed by nobody. */
function forged(token: string): string {
  const [head, body] = token.split('.');
  return `${head}.${body}.${Buffer.from('signed by nobody').toString('base64url')}`;
}

test('a forged token is refused, and forging many does not flood the API server', async (t) => {
  const clock = new ManualClock(Date.now());
  const { namespace, identify } = await setUp({ clock });
  const token = await person(namespace, ['patch']);
  await t.throwsAsync(identify(forged(token)), {
    code: 'TOKEN_SIGNATURE_INVALID',
    message: /kubectl create token/,
  });
  const many = await Promise.allSettled(
    Array.from({ length: 30 }, (_, n) => identify(`${forged(token)}${n}`)),
  );
  const codes = many.map((one) => one.status === 'rejected' && codeOf(one.reason));
  t.is(codes.filter((code) => code === 'CONTROL_PLANE_UNAVAILABLE').length, 21);
  await clock.advance(1_000);
  t.is((await identify(token))?.role, 'admin', 'a good one is taken again a second later');
});

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}

test('a gateway that may not ask says which right it lacks', async (t: ExecutionContext) => {
  const { namespace, identify } = await setUp({ delegated: false });
  await t.throwsAsync(identify(await person(namespace, ['patch'])), {
    code: 'CONTROL_PLANE_UNAVAILABLE',
    message: /system:auth-delegator/,
  });
});
