/**
 * Metrics of what happens with every request. Prometheus' client looks labels up at each observation; here that
 * is a few additions, and the client is told of the sums when it is read.
 */
import {
  Counter,
  type CounterConfiguration,
  Histogram,
  type HistogramConfiguration,
} from 'prom-client';

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

/** The observations of one set of labels. */
export class TimeSeries<Label extends string> {
  readonly labels: Readonly<Record<Label, string>>;
  readonly #ends: readonly number[];
  /** Not added up: those of each bucket alone, and of those beyond the last. */
  readonly #counts: Float64Array;
  #sum = 0;

  /** @param ends of the buckets, ascending */
  constructor(labels: Readonly<Record<Label, string>>, ends: readonly number[]) {
    this.labels = labels;
    this.#ends = ends;
    this.#counts = new Float64Array(ends.length + 1);
  }

  observe(value: number): void {
    let bucket = 0;
    while (bucket < this.#ends.length && value > (this.#ends[bucket] ?? 0)) bucket++;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += value;
  }

  /** Of observations that others have counted: how many fell into each bucket, and into the one beyond, and their sum. */
  add(counts: readonly number[], sum: number): void {
    for (const [bucket, count] of counts.entries()) {
      this.#counts[bucket] = (this.#counts[bucket] ?? 0) + count;
    }
    this.#sum += sum;
  }

  /** As Prometheus has them; none as long as there is no observation. */
  values(name: string) {
    const { labels } = this;
    let count = 0;
    const buckets = [...this.#ends, '+Inf'].map((le, bucket) => {
      count += this.#counts[bucket] ?? 0;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return count === 0
      ? []
      : [
          ...buckets,
          { metricName: `${name}_sum`, labels, value: this.#sum },
          { metricName: `${name}_count`, labels, value: count },
        ];
  }
}

type Values<Label extends string> = ReturnType<Histogram<Label>['get']>;

export class TimeTally<Label extends string> {
  readonly #series: TimeSeries<Label>[] = [];
  readonly #ends: readonly number[];

  constructor(
    options: HistogramConfiguration<Label> & {
      readonly buckets: number[];
      readonly registers: object[];
    },
  ) {
    const { name, buckets } = options;
    const series = this.#series;
    this.#ends = buckets;
    // prom-client's own can be told of single observations only. What else there is to say, one without any says.
    const empty = new Histogram({ ...options, registers: [] });
    class Shown extends Histogram<Label> {
      override async get(): Values<Label> {
        const values = series.flatMap((one) => one.values(name));
        return { ...(await empty.get()), values };
      }

      /** What the registry asks for in place of `get`. */
      getForPromString(): Values<Label> {
        return this.get();
      }
    }
    void new Shown(options);
  }

  /** To be asked for once, and kept. */
  series(labels: Readonly<Record<Label, string>>): TimeSeries<Label> {
    const series = new TimeSeries(labels, this.#ends);
    this.#series.push(series);
    return series;
  }
}
