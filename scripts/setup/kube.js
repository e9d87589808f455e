// kube-apiserver and etcd for the tests of Kubernetes: those of KUBEBUILDER_ASSETS, or built from
// their published Go modules once.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildGo, checkGo } from './go.js';
import { inRoot, local } from './paths.js';
import { SetupError } from './setup-error.js';
import { contentHash, filesBelow, stampFits, writeStamp } from './stamp.js';

const programs = ['etcd', 'kube-apiserver'];
const source = inRoot('test/kube/binaries');
const folder = join(local, 'kube/bin');
const stamp = join(folder, '.setup-stamp');
const hash = () =>
  contentHash({ texts: [process.platform, process.arch], files: filesBelow(source) });

export const kubeStep = {
  label: 'kube-apiserver and etcd from their Go modules (5 minutes and more, once)',
  bytes: 6e9,
  needed: () =>
    !process.env.KUBEBUILDER_ASSETS &&
    (!stampFits(stamp, hash()) || !programs.every((name) => existsSync(join(folder, name)))),
  async run(detail) {
    checkGo('kube-apiserver', 'KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd');
    mkdirSync(folder, { recursive: true });
    const version = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\S*)/.exec(
      readFileSync(join(source, 'go.mod'), 'utf8'),
    );
    const [, full, major, minor] = version;
    const about = 'k8s.io/component-base/version';
    detail('etcd');
    await buildGo('etcd', { module: source, target: './etcd', output: join(folder, 'etcd') });
    detail(`kube-apiserver ${full}`);
    await buildGo('kube-apiserver', {
      module: source,
      target: 'k8s.io/kubernetes/cmd/kube-apiserver',
      output: join(folder, 'kube-apiserver'),
      ldflags: `-X ${about}.gitVersion=${full} -X ${about}.gitMajor=${major} -X ${about}.gitMinor=${minor}`,
    });
    writeStamp(stamp, hash());
  },
};

/**
 * The folder that holds both programs.
 * @throws SetupError when KUBEBUILDER_ASSETS is set to one that does not
 */
export function kubeAssets(env = process.env) {
  const assets = env.KUBEBUILDER_ASSETS || folder;
  for (const name of programs) {
    if (!existsSync(join(assets, name))) {
      throw new SetupError(
        `KUBEBUILDER_ASSETS=${assets} has no ${name}: correct it, or unset it to build one.`,
      );
    }
  }
  return assets;
}
