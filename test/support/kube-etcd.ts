/** What an API server stores, as it lies in its etcd: remembered, and put back as it was. */

export interface StoredObject {
  /** Base64. */
  readonly key: string;
  /** Base64. */
  readonly value: string;
  readonly mod_revision: string;
}

/** All there was at one moment. */
export type Contents = readonly StoredObject[];

/** Base64 of what every key of kube-apiserver begins with, and of the first key after them. */
const FIRST = base64('/registry/');
const END = base64('/registry0');
/** etcd takes 128 in one transaction. */
const OPERATIONS = 100;
/** What kube-apiserver writes by itself at any time. */
const ITS_OWN = [
  'apiregistration.k8s.io/',
  'configmaps/kube-system/',
  'endpointslices/default/kubernetes',
  'flowschemas/',
  'ipaddresses/',
  'leases/kube-system/',
  'masterleases/',
  'prioritylevelconfigurations/',
  'ranges/',
  'servicecidrs/',
  'services/endpoints/default/kubernetes',
  'services/specs/default/kubernetes',
];

/** One etcd by its JSON gateway (https://etcd.io/docs/v3.6/dev-guide/api_grpc_gateway/). */
export class KubeEtcd {
  readonly #url: string;

  constructor(port: number) {
    this.#url = `http://127.0.0.1:${port}/v3/kv`;
  }

  async contents(): Promise<Contents> {
    const { kvs = [] } = await this.#post<{ kvs?: Contents }>('range', {
      key: FIRST,
      range_end: END,
    });
    return kvs;
  }

  /**
   * Takes away what has come since, and puts back what has changed or gone; the API server hears of it
   * by its watches. Returns the keys that are gone.
   */
  async restore(before: Contents): Promise<readonly string[]> {
    const known = new Map(before.map((stored) => [stored.key, stored]));
    const now = await this.contents();
    const gone = now.filter(({ key }) => !known.has(key) && !isItsOwn(key));
    const present = new Map(now.map((stored) => [stored.key, stored]));
    const changed = before.filter(
      ({ key, value }) => present.get(key)?.value !== value && !isItsOwn(key),
    );
    // Definitions last: with its definition an object could no longer be told of.
    const keys = gone.map(({ key }) => key);
    await this.#write([
      ...keys.filter((key) => !isDefinition(key)).map(deletion),
      ...keys.filter(isDefinition).map(deletion),
      ...changed.map(({ key, value }) => ({ requestPut: { key, value } })),
    ]);
    return keys.map((key) => Buffer.from(key, 'base64').toString());
  }

  /** Drops the history, so that an old resource version cannot be watched from any more. */
  async compact(): Promise<void> {
    const { header } = await this.#post<{ header: { revision: string } }>('range', {
      key: base64('x'),
    });
    await this.#post('compaction', { revision: header.revision, physical: true });
  }

  async #write(operations: readonly object[]): Promise<void> {
    for (let at = 0; at < operations.length; at += OPERATIONS) {
      await this.#post('txn', { success: operations.slice(at, at + OPERATIONS) });
    }
  }

  async #post<T>(call: string, body: object): Promise<T> {
    const url = `${this.#url}/${call}`;
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${url}: ${await response.text()}`);
    return (await response.json()) as T;
  }
}

function deletion(key: string): object {
  return { requestDeleteRange: { key } };
}

function isItsOwn(key: string): boolean {
  const path = pathOf(key);
  return ITS_OWN.some((own) => path.startsWith(own));
}

function isDefinition(key: string): boolean {
  return pathOf(key).startsWith('apiextensions.k8s.io/');
}

function pathOf(key: string): string {
  return Buffer.from(key, 'base64').toString().replace('/registry/', '');
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
