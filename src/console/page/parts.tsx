/** Links to what the console shows, and its states. */
import { shortId } from '../../lib/page/format.js';
import { StateWord, type Tone } from '../../lib/page/parts.js';
import { driverPath, poolPath, sessionPath } from './route.js';

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

const tones: Readonly<Record<string, Tone>> = {
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

export function State({ state }: { readonly state: string }) {
  return (
    <StateWord
      state={state}
      tone={Object.hasOwn(tones, state) ? (tones[state] ?? 'none') : 'none'}
    />
  );
}
