// npm run test:kube: everything that needs a Kubernetes API server.
// Usage: npm run test:kube [-- [ava options] [test files]]
//   KUBEBUILDER_ASSETS   a folder with kube-apiserver and etcd; built once when not set
//   HELM_BIN             a helm; Helm 3 and 4 are built once when not set
//   SPARK_OPERATOR_CRDS  a folder with the Spark operator's CustomResourceDefinitions as YAML; when
//                        not set, ../shared/crds if it is there, else the tests' own short ones
// The last line is the result: "N passed, N failed".
import { existsSync } from 'node:fs';
import { inRoot } from './setup/paths.js';
import { runFolder } from './test/folder-suite.js';

const crds = process.env.SPARK_OPERATOR_CRDS || inRoot('../shared/crds');

await runFolder('kube', {
  needs: { client: true, archives: true, kube: true, charts: true },
  env: existsSync(crds) ? { SPARK_OPERATOR_CRDS: crds } : {},
  // Compiled by now.
  share: async () => {
    const { KubeApiServer } = await import('../build/test/support/kube-api-server.js');
    const server = await KubeApiServer.start();
    return { env: await server.share(), end: () => server.stop() };
  },
  // An API server, etcd, Spark and Envoy share a few cores: one file at a time.
  serial: true,
  timeout: '10m',
});
