/**
 * Counts of what happens with every request. Prometheus' client looks labels up at each increment;
 * here an increment is an addition, and the client is told of the sum when it is read.
 */
import { Counter, type CounterConfiguration } from 'prom-client';

export class Series<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  /** Since the metric was read last. */
  untold = 0;

  constructor(labels: Readonly<Record<Label, string>>) {
    this.labels = labels;
  }

  inc(): void {
    this.untold++;
  }
}

export class Tally<Label extends string> {
  readonly #series: Series<Label>[] = [];

  constructor(options: Omit<CounterConfiguration<Label>, 'collect'>) {
    const series = this.#series;
    // It is known to its registry from here on.
    void new Counter({
      ...options,
      collect() {
        for (const one of series) {
          if (one.untold === 0) continue;
          this.inc(one.labels, one.untold);
          one.untold = 0;
        }
      },
    });
  }

  /** To be asked for once, and kept. It shows when it has counted something. */
  series(labels: Readonly<Record<Label, string>>): Series<Label> {
    const series = new Series(labels);
    this.#series.push(series);
    return series;
  }
}
