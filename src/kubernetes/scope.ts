/** Paths of collections: of the whole cluster, or of some namespaces where that is all one may read. */

export interface Scope {
  readonly path: string;
  /** undefined: every namespace. */
  readonly namespace: string | undefined;
}

/** `groupVersion` as in `v1` or `apps/v1`; `namespaces` undefined: all. */
export function scopes(
  groupVersion: string,
  plural: string,
  namespaces: readonly string[] | undefined,
): Scope[] {
  const base = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
  if (!namespaces) return [{ path: `${base}/${plural}`, namespace: undefined }];
  return namespaces.map((namespace) => ({
    path: collectionPath(groupVersion, namespace, plural),
    namespace,
  }));
}

export function collectionPath(groupVersion: string, namespace: string, plural: string): string {
  const base = groupVersion.includes('/') ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
  return `${base}/namespaces/${namespace}/${plural}`;
}

export function covers(scope: Scope, namespace: string): boolean {
  return scope.namespace === undefined || scope.namespace === namespace;
}
