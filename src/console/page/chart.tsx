/** Small charts of the last hour, as SVG. The numbers of now are told in text beside them. */
import { h } from './preact.js';
import { duration } from './format.js';

export interface Series {
  readonly name: string;
  /** Names the colour in the style sheet. */
  readonly tone: string;
  /** The oldest first; undefined: not known. */
  readonly values: readonly (number | undefined)[];
}

export interface ChartProps {
  /** What it shows, for those who do not see it. */
  readonly label: string;
  readonly series: readonly Series[];
  /** How many values are kept at most, and the time between two. */
  readonly kept: number;
  readonly intervalMs: number;
  readonly stacked?: boolean;
  readonly small?: boolean;
  readonly show?: (value: number) => string;
}

const WIDTH = 600;
/** A chart that has just begun is not squeezed into its last pixels. */
const LEAST_LENGTH = 30;

export function Chart(props: ChartProps) {
  const { label, series, kept, intervalMs, stacked = false, small = false, show = String } = props;
  const known = Math.max(...series.map(({ values }) => values.length));
  const length = Math.min(kept, Math.max(known, LEAST_LENGTH));
  const height = small ? 40 : 140;
  const lines = stacked ? stack(series) : series;
  const highest = Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const top = niceTop(highest);
  const x = (at: number, count: number) => ((length - count + at) / (length - 1)) * WIDTH;
  const y = (value: number) => height - (value / top) * (height - 4) - 1;
  return (
    <figure class={small ? 'chart small' : 'chart'}>
      <div class="plot">
        {small ? null : <span class="top">{show(top)}</span>}
        <svg
          viewBox={`0 0 ${WIDTH} ${height}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={label}
        >
          {small
            ? null
            : [0, 0.5, 1].map((share) => (
                <line
                  key={share}
                  class="grid"
                  x1="0"
                  x2={WIDTH}
                  y1={y(top * share)}
                  y2={y(top * share)}
                />
              ))}
          {(stacked ? lines.toReversed() : lines).map(({ name, tone, values }) => (
            <path
              key={name}
              class={`${stacked ? 'area' : 'line'} tone-${tone}`}
              d={stacked ? area(values, x, y) : line(values, x, y)}
            />
          ))}
        </svg>
      </div>
      {small ? null : (
        <figcaption>
          <span class="from">{duration(length * intervalMs)} ago</span>
          {series.map(({ name, tone, values }) => (
            <span key={name} class="key">
              <span class={`swatch tone-${tone}`} aria-hidden="true" />
              {name} <b>{told(values.at(-1), show)}</b>
            </span>
          ))}
        </figcaption>
      )}
    </figure>
  );
}

type Scale = (value: number) => number;
type Place = (at: number, count: number) => number;

function told(value: number | undefined, show: (value: number) => string): string {
  return value === undefined ? '–' : show(value);
}

/** Each on top of those before it. */
function stack(series: readonly Series[]): readonly Series[] {
  const sums: number[] = [];
  return series.map((one) => ({
    ...one,
    values: one.values.map((value, at) => (sums[at] = (sums[at] ?? 0) + (value ?? 0))),
  }));
}

function line(values: Series['values'], x: Place, y: Scale): string {
  let pen = 'M';
  return values
    .map((value, at) => {
      if (value === undefined) {
        pen = 'M';
        return '';
      }
      const point = `${pen}${round(x(at, values.length))} ${round(y(value))}`;
      // A value between two gaps is a point, which needs an end to be drawn.
      const alone = pen === 'M' && values[at + 1] === undefined;
      pen = 'L';
      return alone ? `${point}h1` : point;
    })
    .join('');
}

function area(values: Series['values'], x: Place, y: Scale): string {
  if (values.length === 0) return '';
  const first = round(x(0, values.length));
  return `M${first} ${round(y(0))}${line(values, x, y).replace(/^M/, 'L')}L${WIDTH} ${round(y(0))}Z`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

/** The next of 1, 2, 4, 5, 10, 20, … */
function niceTop(highest: number): number {
  if (highest <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  return ([1, 2, 4, 5, 10].find((step) => step * power >= highest) ?? 10) * power;
}
