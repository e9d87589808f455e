/** Brings together what is wrong: for the console, as a metric, and as Events on Kubernetes' objects. */
import { hostname } from 'node:os';
import { Gauge, type Registry } from 'prom-client';
import type { Logger } from 'pino';
import { EventWriter } from '../kubernetes/event-writer.js';
import type { Clock } from '../model/clock.js';
import type { Leadership } from '../model/ledger.js';
import type { ProblemBoard } from '../problems/board.js';
import type { KubernetesAccess } from './kubernetes.js';

export function problemMetrics(registry: Registry, board: ProblemBoard): void {
  const gauge: Gauge<'kind'> = new Gauge({
    name: 'spark_gateway_problems',
    help: 'What is wrong now with what the gateway was given, by kind; of several replicas the largest counts.',
    labelNames: ['kind'],
    registers: [registry],
    collect() {
      for (const [kind, count] of board.counts()) gauge.set({ kind }, count);
    },
  });
}

/** Returns what tells Kubernetes of the problems of now; to be called whenever it was looked. */
export function problemEvents(
  board: ProblemBoard,
  { clusters, home }: Pick<KubernetesAccess, 'clusters' | 'home'>,
  context: {
    readonly leadership: Leadership;
    readonly clock: Clock;
    readonly logger: Logger;
  },
): () => void {
  const { leadership, ...rest } = context;
  const writers = [...new Set([...clusters, home])].map(({ name, api }) => ({
    cluster: name,
    writer: new EventWriter({
      api,
      instance: process.env['POD_NAME'] ?? hostname(),
      allowed: () => leadership.epoch() !== undefined,
      ...rest,
    }),
  }));
  return () => {
    if (leadership.epoch() === undefined) return;
    const problems = board.list();
    for (const { cluster, writer } of writers) {
      writer.report(
        problems.flatMap(({ kind, object, message }) =>
          object && (object.cluster ?? home.name) === cluster
            ? [{ regarding: object, reason: upperCamelCase(kind), note: message }]
            : [],
        ),
      );
    }
  };
}

function upperCamelCase(kind: string): string {
  return kind.replaceAll(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
