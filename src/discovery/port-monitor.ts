/** Whether ports answer, of any number of drivers. */
import type { Clock, Timer } from '../model/clock.js';
import { http2Probe, type Probe } from './probes.js';

export interface PortState {
  readonly answers: boolean;
  /** It has answered since it is watched. */
  readonly hasAnswered: boolean;
  /** Why it does not answer. */
  readonly reason: string | undefined;
  /** Something answers that is not what is watched. */
  readonly taken: boolean;
}

/** Whether what answers is what is watched; asked until it says so once. */
export type ConfirmOwner = () => Promise<boolean>;

export interface PortMonitorOptions {
  readonly clock: Clock;
  /** Called when a port's state has changed. */
  readonly onChange: () => void;
  readonly probe?: Probe;
}

interface Target {
  readonly address: string;
  readonly port: number;
  readonly isOwner: ConfirmOwner | undefined;
  first: Promise<void>;
  state: PortState;
  failures: number;
  timer: Timer | undefined;
}

/** A busy driver may take a while; one that listens nowhere is known at once. */
const TIMEOUT_MS = 5_000;
const STARTING_PERIOD_MS = 250;
const FAILING_PERIOD_MS = 1_000;
const READY_PERIOD_MS = 5_000;
/** A port that has answered is believed to fail after this many probes in a row. */
const FAILURES_BELIEVED = 2;

/** Probes any number of ports, each under a key, often until it answers and now and then afterwards. */
export class PortMonitor {
  readonly #options: PortMonitorOptions;
  readonly #targets = new Map<string, Target>();

  constructor(options: PortMonitorOptions) {
    this.#options = options;
  }

  /** Begins to probe; resolves after the first result. Idempotent for the same address. */
  watch(key: string, address: string, port: number, isOwner?: ConfirmOwner): Promise<void> {
    const existing = this.#targets.get(key);
    if (existing?.address === address && existing.port === port) return existing.first;
    this.unwatch(key);
    const target: Target = {
      address,
      port,
      isOwner,
      first: Promise.resolve(),
      state: { answers: false, hasAnswered: false, reason: undefined, taken: false },
      failures: 0,
      timer: undefined,
    };
    this.#targets.set(key, target);
    target.first = this.#probe(key, target);
    return target.first;
  }

  unwatch(key: string): void {
    this.#targets.get(key)?.timer?.cancel();
    this.#targets.delete(key);
  }

  state(key: string): PortState | undefined {
    return this.#targets.get(key)?.state;
  }

  keys(): readonly string[] {
    return [...this.#targets.keys()];
  }

  close(): void {
    for (const key of this.keys()) this.unwatch(key);
  }

  async #probe(key: string, target: Target): Promise<void> {
    const { clock, onChange, probe = http2Probe } = this.#options;
    let reason = await probe(target.address, target.port, TIMEOUT_MS);
    const before = target.state;
    const taken = reason === undefined && !before.hasAnswered && !(await isOwned(target));
    if (taken) reason = 'another process answers';
    if (this.#targets.get(key) !== target) return;
    target.failures = reason === undefined ? 0 : target.failures + 1;
    const answers = reason === undefined || (before.answers && target.failures < FAILURES_BELIEVED);
    target.state = { answers, hasAnswered: before.hasAnswered || answers, reason, taken };
    const periodMs =
      reason === undefined
        ? READY_PERIOD_MS
        : target.state.hasAnswered
          ? FAILING_PERIOD_MS
          : STARTING_PERIOD_MS;
    target.timer = clock.setTimer(periodMs, () => void this.#probe(key, target));
    if (before.answers !== answers || before.taken !== taken) onChange();
  }
}

async function isOwned({ isOwner }: Target): Promise<boolean> {
  // What cannot be known now is asked again.
  return isOwner === undefined || (await isOwner().catch(() => false));
}
