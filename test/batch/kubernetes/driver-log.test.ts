import test from 'ava';
import { driverLog, parseLine } from '../../../src/batch/kubernetes/driver-log.js';
import { KubernetesError } from '../../../src/lib/kubernetes/http.js';
import type { Query } from '../../../src/lib/kubernetes/kubernetes-api.js';

/** An API server whose kubelet has these lines, and falls silent as one does that rotates a file. */
class Kubelet {
  readonly asked: Query[] = [];
  readonly lines: string[] = [];
  /** After how many lines the next stream falls silent; none: it ends. */
  readonly silences: number[] = [];
  isRunning = true;
  whileSilent: () => void = () => undefined;

  readonly api = {
    lines: (request: { readonly query: Query }) => this.#stream(request.query),
  };

  async *#stream(query: Query): AsyncGenerator<string, void> {
    await Promise.resolve();
    this.asked.push(query);
    const since = String(query['sinceTime'] ?? '');
    const own = this.lines.filter((line) => line.slice(0, 19) >= since.slice(0, 19));
    const silence = this.silences.shift();
    for (const line of own.slice(0, silence)) yield line;
    if (silence === undefined) return;
    this.whileSilent();
    throw new KubernetesError(0, 'Silent', 'nothing came');
  }

  async read(since?: string): Promise<string[]> {
    const lines: string[] = [];
    const stream = driverLog(
      {
        api: this.api,
        namespace: 'ns',
        id: 'job-a',
        attempt: 1,
        isRunning: () => this.isRunning,
      },
      {
        follow: true,
        signal: new AbortController().signal,
        ...(since === undefined ? {} : { since }),
      },
    );
    for await (const { time, text } of stream) lines.push(`${time} ${text}`);
    return lines;
  }
}

const at = (second: number, nanos: number, text: string) =>
  `2026-11-29T10:00:0${second}.${String(nanos).padStart(9, '0')}Z ${text}`;

test('a stream that falls silent is opened again where it was: no line twice, none left out', async (t) => {
  const kubelet = new Kubelet();
  kubelet.lines.push(at(1, 1, 'a'), at(1, 2, 'b'), at(1, 2, 'c'));
  kubelet.silences.push(2, 3);
  let rotated = 0;
  kubelet.whileSilent = () => {
    rotated += 1;
    if (rotated === 2) {
      kubelet.lines.push(at(1, 2, 'd'), at(2, 0, 'e'));
      kubelet.isRunning = false;
    }
  };
  t.deepEqual(
    (await kubelet.read()).map((line) => line.slice(-1)),
    ['a', 'b', 'c', 'd', 'e'],
  );
  t.deepEqual(
    kubelet.asked.map(({ follow, sinceTime }) => [follow, sinceTime]),
    [
      [true, undefined],
      [true, '2026-11-29T10:00:01Z'],
      [undefined, '2026-11-29T10:00:01Z'],
    ],
  );
});

test('a log is resumed within a second, although Kubernetes counts in whole ones', async (t) => {
  const kubelet = new Kubelet();
  kubelet.isRunning = false;
  kubelet.lines.push(at(1, 1, 'a'), at(1, 5, 'b'), at(2, 0, 'c'));
  t.deepEqual(await kubelet.read('2026-11-29T10:00:01.000000005Z'), kubelet.lines.slice(1));
});

test('times compare as texts whatever zone and precision the kubelet writes', (t) => {
  t.deepEqual(parseLine('2026-11-29T11:00:01.5+01:00 hello world', undefined), {
    time: '2026-11-29T10:00:01.500000000Z',
    text: 'hello world',
  });
  t.deepEqual(parseLine('no time', '2026-11-29T10:00:01.500000000Z'), {
    time: '2026-11-29T10:00:01.500000000Z',
    text: 'no time',
  });
});

test('without a pod there is no log, and no error', async (t) => {
  const missing = {
    lines: () => {
      throw new KubernetesError(404, 'NotFound', 'pods "job-a-driver" not found');
    },
  };
  const signal = new AbortController().signal;
  const stream = driverLog(
    { api: missing, namespace: 'ns', id: 'job-a', attempt: 1, isRunning: () => true },
    { follow: true, signal },
  );
  t.true((await stream.next()).done);
});
