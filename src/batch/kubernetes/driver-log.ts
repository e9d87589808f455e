/**
 * The log of a driver's pod. A stream that falls silent while the kubelet rotates the file
 * (https://github.com/kubernetes/kubernetes/issues/59902) is opened again where it was, and no line is
 * told twice.
 */
import type { KubernetesApi } from '../../lib/kubernetes/kubernetes-api.js';
import { KubernetesError } from '../../lib/kubernetes/http.js';
import { collectionPath } from '../../lib/kubernetes/objects.js';
import type { BackendLogLine, LogRequest } from '../backend.js';
import { driverPodName } from './job-names.js';

export interface DriverLogOptions {
  readonly api: Pick<KubernetesApi, 'lines'>;
  readonly namespace: string;
  readonly id: string;
  /** Of the lines that come from now on. */
  readonly attempt: number;
  /** Whether the pod is one whose log may grow. */
  readonly isRunning: () => boolean;
  /** A stream without a line for so long is opened again. Default 20 s. */
  readonly silenceMs?: number;
}

const CONTAINER = 'spark-kubernetes-driver';
const SILENCE_MS = 20_000;
const LONGEST_LINE = 16 * 1024;

export async function* driverLog(
  options: DriverLogOptions,
  { since, tail, follow, signal }: LogRequest,
): AsyncGenerator<BackendLogLine, void> {
  const { api, namespace, id, attempt, isRunning, silenceMs = SILENCE_MS } = options;
  const path = `${collectionPath('v1', namespace, 'pods')}/${driverPodName(id)}/log`;
  const told = new ToldLines();
  let from = since;
  for (;;) {
    const isGrowing = follow && isRunning();
    const query = {
      container: CONTAINER,
      timestamps: true,
      ...(isGrowing ? { follow: true } : {}),
      // Kubernetes counts it in whole seconds: some lines come again.
      ...(from === undefined ? {} : { sinceTime: `${from.slice(0, 19)}Z` }),
      ...(tail !== undefined && from === undefined ? { tailLines: tail } : {}),
    };
    told.again();
    try {
      for await (const raw of api.lines({
        path,
        query,
        signal,
        silenceMs,
        longestLine: LONGEST_LINE,
      })) {
        const line = parseLine(raw, told.last);
        if (since !== undefined && line.time < since) continue;
        if (told.isNew(line.time)) yield { attempt, ...line };
      }
      if (!isGrowing) return;
      // Its end may be that of the pod, or of a connection.
      if (!isRunning()) follow = false;
    } catch (error) {
      if (signal.aborted) return;
      if (isNothingThere(error)) return;
      if (!isSilence(error)) throw error;
      if (!isRunning()) follow = false;
    }
    from = told.last ?? since;
  }
}

/** Which lines have been told, where a source tells some of them again: by their times, and how many of a time. */
class ToldLines {
  last: string | undefined;
  #count = 0;
  #seen = 0;

  /** The source begins again, at the latest with the first line of the time that was told last. */
  again(): void {
    this.#seen = 0;
  }

  isNew(time: string): boolean {
    if (this.last !== undefined && time < this.last) return false;
    if (time === this.last) {
      this.#seen += 1;
      if (this.#seen <= this.#count) return false;
      this.#count += 1;
      return true;
    }
    this.last = time;
    this.#count = 1;
    this.#seen = 1;
    return true;
  }
}

/** RFC 3339 with nanoseconds in UTC, so that times compare as texts. */
export function parseLine(
  raw: string,
  before: string | undefined,
): { readonly time: string; readonly text: string } {
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d) ?/.exec(raw);
  if (!match) return { time: before ?? '1970-01-01T00:00:00.000000000Z', text: raw };
  const [whole, seconds = '', fraction = '', zone = 'Z'] = match;
  const utc = zone === 'Z' ? seconds : new Date(`${seconds}${zone}`).toISOString().slice(0, 19);
  return { time: `${utc}.${fraction.padEnd(9, '0')}Z`, text: raw.slice(whole.length) };
}

/** There is no pod, or its container has not started: there is no log. */
function isNothingThere(error: unknown): boolean {
  return error instanceof KubernetesError && (error.status === 404 || error.status === 400);
}

function isSilence(error: unknown): boolean {
  if (!(error instanceof KubernetesError)) return false;
  const { cause } = error;
  return (
    error.reason === 'Silent' || (cause instanceof KubernetesError && cause.reason === 'Silent')
  );
}
