/** Small things that several views show. */
import { type ComponentChildren, h } from './preact.js';
import { ago, dateAndTime, duration, shortId } from './format.js';
import { driverPath, poolPath, sessionPath } from './route.js';

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

export function SessionLink({
  id,
  whole = false,
}: {
  readonly id: string;
  readonly whole?: boolean;
}) {
  return (
    <a class="mono" href={sessionPath(id)} title={id}>
      {whole ? id : shortId(id)}
    </a>
  );
}

export function DriverLink({ uid, name }: { readonly uid: string; readonly name?: string }) {
  return (
    <a class="mono" href={driverPath(uid)} title={uid}>
      {shortId(name ?? uid)}
    </a>
  );
}

export function PoolLink({
  namespace,
  variant,
}: {
  readonly namespace: string;
  readonly variant?: string | undefined;
}) {
  return (
    <a href={poolPath(namespace)}>
      {namespace}
      {variant === undefined ? null : <span class="variant"> {variant}</span>}
    </a>
  );
}

const tones: Readonly<Record<string, string>> = {
  live: 'good',
  available: 'good',
  SYNCED: 'good',
  passed: 'good',
  done: 'good',
  in_use: 'busy',
  warming: 'warming',
  STALE: 'warning',
  draining: 'warning',
  expired: 'warning',
  ending: 'warning',
  unreachable: 'bad',
  NACKED: 'bad',
  refused: 'bad',
  failed: 'bad',
  lost: 'bad',
  moved: 'warning',
  gained: 'good',
};

/** A state, told by its word; the colour only helps. */
export function State({ state }: { readonly state: string }) {
  const tone = Object.hasOwn(tones, state) ? tones[state] : 'none';
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
