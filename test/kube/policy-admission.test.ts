import { readFileSync } from 'node:fs';
import test from 'ava';
import { parse } from 'yaml';
import type { KubernetesApi } from '../../src/lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../src/lib/kubernetes/http.js';
import { KubeApiServer, type ApplicableObject } from '../support/kube-api-server.js';

let server: KubeApiServer;
let admin: KubernetesApi;

test.before(async () => {
  server = await KubeApiServer.shared();
  const crd = readFileSync('k8s/crd/routingpolicies.yaml', 'utf8');
  await server.apply(parse(crd) as ApplicableObject);
  admin = server.admin();
});
test.after.always(() => server?.stop());

/** As kubectl does it: unknown fields are mistakes, too. */
function submit(spec: unknown): Promise<unknown> {
  return admin.request({
    method: 'POST',
    path: '/apis/spark-gateway.io/v1alpha1/namespaces/default/routingpolicies',
    query: { dryRun: 'All', fieldValidation: 'Strict' },
    body: {
      apiVersion: 'spark-gateway.io/v1alpha1',
      kind: 'RoutingPolicy',
      metadata: { name: 'main' },
      spec,
    },
  });
}

for (const file of ['docs/policy.yaml', 'config/development/policy.yaml']) {
  test(`what ${file} says is accepted`, async (t) => {
    const { apiVersion, kind, ...spec } = parse(readFileSync(file, 'utf8')) as Record<
      string,
      unknown
    >;
    t.is(`${String(apiVersion)} ${String(kind)}`, 'spark-gateway/v1alpha1 RoutingPolicy');
    await t.notThrowsAsync(submit(spec));
  });
}

const who = { groups: ['a'] };
const what = { teams: ['a'], environments: ['dev'] };
const refused: readonly (readonly [string, object, RegExp])[] = [
  ['no access', {}, /spec\.access: Required/],
  ['an unknown field', { access: [], acces: [] }, /unknown field "spec\.acces"/],
  [
    'a team that is no name',
    { access: [{ who, what: { ...what, teams: ['A'] } }] },
    /spec\.access\[0\]\.what\.teams\[0\]/,
  ],
  ['a size that is no number', { access: [], pools: [{ size: 'many' }] }, /spec\.pools\[0\]\.size/],
  ['too large a size', { access: [], pools: [{ size: 5000 }] }, /less than or equal to 1000/],
  [
    'nobody',
    { access: [{ who: {}, what }] },
    /spec\.access\[0\]\.who: .*who needs groups, principals or services/,
  ],
  [
    'an empty who',
    { access: [{ who: { groups: [] }, what }] },
    /spec\.access\[0\]\.who: .*who needs/,
  ],
  [
    'a pool with more than its maximum',
    { access: [], pools: [{ size: 5, maximum: 4 }] },
    /spec\.pools\[0\]: .*size must not exceed maximum/,
  ],
  [
    'a scheduled time without a size',
    { access: [], pools: [{ schedule: [{ from: '08:00' }] }] },
    /needs size or maximum/,
  ],
  [
    'a name that is given twice',
    {
      access: [],
      services: [
        { name: 'a', dns_sans: ['a'] },
        { name: 'a', dns_sans: ['b'] },
      ],
    },
    /each name of services is given once/,
  ],
  [
    'a service with the name of a network',
    {
      access: [],
      services: [{ name: 'a', dns_sans: ['a'] }],
      source_networks: [{ name: 'a', networks: ['10.0.0.0/8'] }],
    },
    /services and source_networks have no name in common/,
  ],
];
for (const [mistake, spec, message] of refused) {
  test(`refused on admission: ${mistake}`, async (t) => {
    const error = await t.throwsAsync(submit(spec), { instanceOf: KubernetesError });
    t.regex(error?.message ?? '', message);
  });
}
