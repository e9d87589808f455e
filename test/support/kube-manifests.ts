import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { ApplicableObject } from './kube-api-server.js';

/** The objects of a YAML file. */
export function manifests(file: string): ApplicableObject[] {
  return parseAllDocuments(readFileSync(file, 'utf8')).map(
    (document) => document.toJS() as ApplicableObject,
  );
}

export const SPARK_DRIVER_CRD = 'k8s/crd/sparkdrivers.yaml';

/** The Spark operator's definitions: its own where SPARK_OPERATOR_CRDS says where they are, else outlines of them. */
export function operatorCrds(): ApplicableObject[] {
  const folder = process.env['SPARK_OPERATOR_CRDS'];
  return ['sparkconnects.yaml', 'sparkapplications.yaml'].flatMap((name) => {
    const own = folder === undefined ? undefined : join(folder, name);
    return manifests(own !== undefined && existsSync(own) ? own : join('test/kube/crds', name));
  });
}
