// k8s/, the plain manifests, as the chart spark-gateway renders them.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { isMap, parseAllDocuments } from 'yaml';
import { inRoot, root } from '../setup/paths.js';

const CHART = 'charts/spark-gateway';
const RELEASE = 'spark-gateway';

/** Template → file of k8s/. CustomResourceDefinitions and alerts are read by the chart from there. */
const files = {
  'namespace.yaml': 'namespace.yaml',
  'rbac.yaml': 'rbac.yaml',
  'api-priority.yaml': 'api-priority.yaml',
  'network-policy.yaml': 'network-policy.yaml',
  'config.yaml': 'config.yaml',
  'control-plane.yaml': 'control-plane.yaml',
  'envoy.yaml': 'envoy.yaml',
  'team-namespace.yaml': 'team-namespace.yaml',
  'pod-monitors.yaml': 'monitoring/pod-monitors.yaml',
  'prometheus-rule.yaml': 'monitoring/prometheus-rule.yaml',
};

/** What only Helm has a use for: kubectl would never change it again. */
const HELM_ONLY = ['helm.sh/chart', 'app.kubernetes.io/managed-by', 'checksum/settings'];

/**
 * @param {string} bin of Helm
 * @returns {Promise<[file: string, text: string][]>}
 */
export async function manifests(bin) {
  const rendered = execFileSync(
    bin,
    ['template', RELEASE, CHART, '--namespace', RELEASE, '--values', join(CHART, 'manifests.yaml')],
    { cwd: root, encoding: 'utf8', maxBuffer: 64e6, stdio: ['ignore', 'pipe', 'ignore'] },
  );
  const texts = new Map();
  for (const part of rendered.split(/^---\n/m)) {
    const [line = '', source] = /^# Source: \S+?\/templates\/(\S+)\n/.exec(part) ?? [];
    if (!(source in files)) continue;
    texts.set(source, [...(texts.get(source) ?? []), plain(part.slice(line.length))]);
  }
  return Promise.all(
    Object.entries(files).map(async ([source, name]) => {
      const file = inRoot('k8s', name);
      const text = `# Rendered from ${CHART} by \`npm run charts\`.\n${texts.get(source).join('---\n')}`;
      return [file, await format(text, { ...(await resolveConfig(file)), filepath: file })];
    }),
  );
}

function plain(text) {
  return parseAllDocuments(text)
    .map((document) => {
      for (const path of [
        ['metadata', 'labels'],
        ['spec', 'template', 'metadata', 'annotations'],
      ]) {
        const map = document.getIn(path);
        if (!isMap(map)) continue;
        for (const key of HELM_ONLY) map.delete(key);
        if (map.items.length === 0) document.deleteIn(path);
      }
      return document.toString({ lineWidth: 0 });
    })
    .join('---\n');
}
