/** Small things that the views of every page show. */
import type { ComponentChildren } from 'preact';
import { ago, dateAndTime, duration } from './format.js';

/** A moment, as the time since; the whole time on hover. */
export function Ago({ at, nowMs }: { readonly at: string; readonly nowMs: number }) {
  return (
    <time dateTime={at} title={dateAndTime(at)}>
      {ago(at, nowMs)}
    </time>
  );
}

export function For({ since, nowMs }: { readonly since: string; readonly nowMs: number }) {
  return (
    <time dateTime={since} title={`since ${dateAndTime(since)}`}>
      {duration(nowMs - Date.parse(since))}
    </time>
  );
}

export type Tone = 'good' | 'busy' | 'warming' | 'warning' | 'bad' | 'none';

/** A state, told by its word; the colour only helps. */
export function StateWord({ state, tone }: { readonly state: string; readonly tone: Tone }) {
  return <span class={`state tone-${tone}`}>{state.replaceAll('_', ' ')}</span>;
}

export type Fact = readonly [string, ComponentChildren];

/** Names and values. */
export function Facts({ facts }: { readonly facts: readonly (Fact | undefined)[] }) {
  return (
    <dl class="facts">
      {facts
        .filter((fact) => fact !== undefined)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

export function Card(props: {
  readonly title: string;
  readonly wide?: boolean;
  readonly children: ComponentChildren;
}) {
  return (
    <section class={props.wide ? 'card wide' : 'card'}>
      <h2>{props.title}</h2>
      {props.children}
    </section>
  );
}

/** The heading of a view; the keyboard goes on from here after a link was followed. */
export function Title(props: { readonly children: ComponentChildren; readonly kind?: string }) {
  return (
    <h1 id="title" tabIndex={-1}>
      {props.kind === undefined ? null : <span class="kind">{props.kind} </span>}
      {props.children}
    </h1>
  );
}
