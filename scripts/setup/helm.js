// Helm 3 and 4 for the tests of the charts: HELM_BIN, or both built from their published Go modules once.
import { accessSync, constants, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { buildGo, checkGo } from './go.js';
import { inRoot, local } from './paths.js';
import { SetupError } from './setup-error.js';
import { contentHash, filesBelow, stampFits, writeStamp } from './stamp.js';

const modules = inRoot('test/charts/binaries');
const majors = ['3', '4'];
const folder = join(local, 'helm/bin');
const program = (major) => join(folder, `helm${major}`);
const stamp = join(folder, '.setup-stamp');
const hash = () =>
  contentHash({ texts: [process.platform, process.arch], files: filesBelow(modules) });

export const helmStep = {
  label: 'Helm 3 and 4 from their Go modules (5 minutes and more, once)',
  bytes: 4e9,
  needed: () =>
    !process.env.HELM_BIN &&
    (!stampFits(stamp, hash()) || !majors.every((major) => existsSync(program(major)))),
  async run(detail) {
    checkGo('Helm', 'HELM_BIN to a helm');
    mkdirSync(folder, { recursive: true });
    for (const major of majors) {
      const module = join(modules, `helm${major}`);
      const required = readFileSync(join(module, 'go.mod'), 'utf8');
      const [, version] = new RegExp(`helm\\.sh/helm/v${major} (v\\S+)`).exec(required);
      const [, minor] = /k8s\.io\/client-go v0\.(\d+)/.exec(required);
      const helm = `helm.sh/helm/v${major}`;
      detail(`helm ${version}`);
      await buildGo(`helm${major}`, {
        module,
        target: `${helm}/cmd/helm`,
        output: program(major),
        ldflags: [
          `${helm}/internal/version.version=${version}`,
          // The Kubernetes that is rendered for; Helm 4 finds it out itself.
          `${helm}/pkg/chartutil.k8sVersionMajor=1`,
          `${helm}/pkg/chartutil.k8sVersionMinor=${minor}`,
          `${helm}/pkg/lint/rules.k8sVersionMajor=1`,
          `${helm}/pkg/lint/rules.k8sVersionMinor=${minor}`,
        ]
          .map((variable) => `-X ${variable}`)
          .join(' '),
      });
    }
    writeStamp(stamp, hash());
  },
};

/**
 * The programs to use, as a list like PATH.
 * @throws SetupError when HELM_BIN is set to something else than a program
 */
export function helms(env = process.env) {
  const found = env.HELM_BIN ? [env.HELM_BIN] : majors.map(program);
  for (const bin of found) {
    try {
      accessSync(bin, constants.X_OK);
    } catch {
      throw new SetupError(
        `HELM_BIN=${bin} is not a program: correct it, or unset it to build one.`,
      );
    }
  }
  return found.join(delimiter);
}
