/**
 * Charts of the last hour, as SVG, with axes. Where the pointer is, the numbers of that moment are told
 * in the caption, else those of now; a table below holds them all.
 */
import { Component, type ComponentChildren } from 'preact';
import { duration } from '../../lib/page/format.js';

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

interface State {
  /** The pointer's place from left to right, 0 to 1; undefined: elsewhere. */
  readonly pointer?: number | undefined;
  readonly tableOpen?: boolean;
}

const WIDTH = 600;
/** A chart that has just begun is not squeezed into its last pixels. */
const LEAST_LENGTH = 30;
/** A table with a row for each value would be long. */
const TABLE_ROWS = 30;

export class Chart extends Component<ChartProps, State> {
  override render(props: ChartProps, { pointer, tableOpen = false }: State): ComponentChildren {
    const { series, kept, intervalMs, stacked = false, small = false, show = String } = props;
    const known = Math.max(...series.map(({ values }) => values.length));
    const length = Math.min(kept, Math.max(known, LEAST_LENGTH));
    const lines = stacked ? stack(series) : series;
    const highest = Math.max(0, ...lines.flatMap(({ values }) => values.map((one) => one ?? 0)));
    const top = niceTop(highest);
    if (small) {
      return (
        <figure class="chart small">
          <Plot {...props} lines={lines} length={length} top={top} height={40} />
        </figure>
      );
    }
    // Counted from the newest value, which all series end with.
    const back = pointer === undefined ? 0 : Math.round((1 - pointer) * (length - 1));
    const spanMs = (length - 1) * intervalMs;
    const moment = back === 0 ? 'now' : `${duration(back * intervalMs)} ago`;
    return (
      <figure class="chart">
        <div class="axes">
          <div class="y-axis" aria-hidden="true">
            <span>{show(top)}</span>
            <span>{show(top / 2)}</span>
            <span>{show(0)}</span>
          </div>
          <div
            class="plot"
            onPointerMove={(event) => this.#point(event)}
            onPointerLeave={() => this.setState({ pointer: undefined })}
          >
            <Plot
              {...props}
              lines={lines}
              length={length}
              top={top}
              height={140}
              {...(pointer === undefined ? {} : { at: length - 1 - back })}
            />
          </div>
          <div class="x-axis" aria-hidden="true">
            <span>{duration(spanMs)} ago</span>
            <span>{duration(spanMs / 2)} ago</span>
            <span>now</span>
          </div>
        </div>
        <figcaption>
          <span class="moment">{moment}</span>
          {series.map(({ name, tone, values }) => (
            <span key={name} class="key">
              <span class={`swatch tone-${tone}`} aria-hidden="true" />
              {name} <b>{told(values.at(-1 - back), show)}</b>
            </span>
          ))}
        </figcaption>
        <details
          class="numbers"
          onToggle={(event) => this.setState({ tableOpen: event.currentTarget.open })}
        >
          <summary>Numbers</summary>
          {tableOpen ? <Numbers {...props} known={known} /> : null}
        </details>
      </figure>
    );
  }

  #point(event: PointerEvent): void {
    const { currentTarget } = event;
    if (!(currentTarget instanceof Element)) return;
    const { left, width } = currentTarget.getBoundingClientRect();
    if (width > 0) this.setState({ pointer: clamped((event.clientX - left) / width) });
  }
}

function clamped(share: number): number {
  return Math.min(1, Math.max(0, share));
}

interface PlotProps extends ChartProps {
  readonly lines: readonly Series[];
  /** Values from the left edge to the right one. */
  readonly length: number;
  readonly top: number;
  readonly height: number;
  /** Which of them the pointer is at. */
  readonly at?: number;
}

function Plot({
  label,
  lines,
  length,
  top,
  height,
  at,
  stacked = false,
  small = false,
}: PlotProps) {
  const x = (index: number, count: number) => ((length - count + index) / (length - 1)) * WIDTH;
  const y = (value: number) => height - (value / top) * (height - 4) - 1;
  const pointed = at === undefined ? undefined : x(at, length);
  return (
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
      {pointed === undefined ? null : (
        <line class="pointer" x1={pointed} x2={pointed} y1="0" y2={height} />
      )}
    </svg>
  );
}

/** The newest first. */
function Numbers({
  label,
  series,
  intervalMs,
  known,
  show = String,
}: ChartProps & { readonly known: number }) {
  const step = Math.max(1, Math.ceil(known / TABLE_ROWS));
  const backs = Array.from({ length: Math.ceil(known / step) }, (_, row) => row * step);
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={`Numbers: ${label}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">When</th>
            {series.map(({ name }) => (
              <th key={name} scope="col" class="number">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {backs.map((back) => (
            <tr key={back}>
              <th scope="row">{back === 0 ? 'now' : `${duration(back * intervalMs)} ago`}</th>
              {series.map(({ name, values }) => (
                <td key={name} class="number">
                  {told(values.at(-1 - back), show)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
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
