/** Reads what the Envoy beside this process counts of RPCs without records (src/envoy/lease.ts). */
import type { Logger } from 'pino';
import type { Clock, Timer } from '../model/clock.js';
import { DURATION_BUCKETS_MS, type EnvoyCounts } from '../model/envoy-counts.js';
import { reasonOf } from '../model/errors.js';
import { clusterName, COUNTED_RPC } from '../model/names.js';

/** Envoy takes the dots of a service's name for its own, and makes labels of what is before the last one. */
const METRIC = `envoy_cluster_grpc_SparkConnectService_${COUNTED_RPC}_`;
const QUERY = `/stats/prometheus?usedonly&filter=${encodeURIComponent(`grpc\\..*\\.${COUNTED_RPC}\\.(success|upstream_rq_time)`)}`;
/** Envoy itself merges its threads' histograms as often. */
const INTERVAL_MS = 5_000;
const TIMEOUT_MS = 4_000;

/** @param text Envoy's `/stats/prometheus`. Lines that are not known are left out. */
export function parseEnvoyCounts(text: string): readonly EnvoyCounts[] {
  const found = new Map<
    string,
    { succeeded: number; upTo: Map<number, number>; totalMs: number }
  >();
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? [];
    const [, cluster] = /envoy_cluster_name="([^"]*)"/.exec(labels) ?? [];
    if (!name.startsWith(METRIC) || cluster === undefined) continue;
    const namespace = namespaceOf(cluster);
    if (namespace === undefined) continue;
    let counts = found.get(namespace);
    if (!counts) found.set(namespace, (counts = { succeeded: 0, upTo: new Map(), totalMs: 0 }));
    switch (name.slice(METRIC.length)) {
      case 'success':
        counts.succeeded = Number(value);
        break;
      case 'upstream_rq_time_sum':
        counts.totalMs = Number(value);
        break;
      case 'upstream_rq_time_bucket': {
        const [, le = ''] = /le="([^"]*)"/.exec(labels) ?? [];
        counts.upTo.set(le === '+Inf' ? Infinity : Number(le), Number(value));
        break;
      }
    }
  }
  return Array.from(found, ([namespace, { succeeded, upTo, totalMs }]) => ({
    namespace,
    method: COUNTED_RPC,
    succeeded,
    buckets: alone(upTo),
    totalMs,
  }));
}

const LINE = /^(\w+)\{(.*)\} ([\d.e+-]+)$/;

function namespaceOf(cluster: string): string | undefined {
  const prefix = clusterName('');
  return cluster.startsWith(prefix) ? cluster.slice(prefix.length) : undefined;
}

/** Envoy's buckets hold those below them, too, and end elsewhere where one of ours is not among them. */
function alone(upTo: ReadonlyMap<number, number>): readonly number[] {
  const ends = [...upTo.keys()].toSorted((a, b) => a - b);
  const atMost = (end: number) => upTo.get(ends.findLast((one) => one <= end) ?? Number.NaN) ?? 0;
  let below = 0;
  return [...DURATION_BUCKETS_MS, Infinity].map((end) => {
    const count = Math.max(below, atMost(end));
    const own = count - below;
    below = count;
    return own;
  });
}

export interface EnvoyCountsReaderOptions {
  /** URL of Envoy's administration. */
  readonly adminUrl: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Default: fetch. */
  readonly read?: (url: string, signal: AbortSignal) => Promise<string>;
}

export class EnvoyCountsReader {
  readonly #o: EnvoyCountsReaderOptions;
  readonly #over = new AbortController();
  #timer: Timer | undefined;
  #newest: readonly EnvoyCounts[] = [];
  #isFailing = false;

  constructor(options: EnvoyCountsReaderOptions) {
    this.#o = options;
    void this.#look();
  }

  /** As they were when Envoy answered last. */
  current(): readonly EnvoyCounts[] {
    return this.#newest;
  }

  close(): void {
    this.#over.abort();
    this.#timer?.cancel();
  }

  async #look(): Promise<void> {
    const { adminUrl, clock, logger, read = fetchText } = this.#o;
    try {
      this.#newest = parseEnvoyCounts(await read(`${adminUrl}${QUERY}`, this.#over.signal));
      this.#isFailing = false;
    } catch (error) {
      if (!this.#isFailing && !this.#over.signal.aborted) {
        logger.info({ reason: reasonOf(error) }, 'what Envoy counts cannot be read now');
      }
      this.#isFailing = true;
    }
    if (this.#over.signal.aborted) return;
    this.#timer = clock.setTimer(INTERVAL_MS, () => void this.#look());
  }
}

async function fetchText(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, {
    signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]),
  });
  return response.text();
}
