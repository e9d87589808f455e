/** Whether ports answer, of any number of drivers. */
import { connect } from 'node:net';
import type { Clock, Timer } from '../model/clock.js';

export interface PortState {
  readonly answers: boolean;
  /** It has answered since it is watched. */
  readonly hasAnswered: boolean;
  /** Why it does not answer. */
  readonly reason: string | undefined;
  /** When it last answered, and since when it does not, milliseconds since the epoch. */
  readonly answeredAtMs: number | undefined;
  readonly silentSinceMs: number | undefined;
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
  /**
   * The pause between probes of a port, be it answered or not, unless it has just stopped answering,
   * milliseconds; default 5 s for one that answers, and less for one that does not.
   */
  readonly periodMs?: () => number;
}

interface Target {
  readonly address: string;
  readonly port: number;
  readonly isOwner: ConfirmOwner | undefined;
  /** Of the pauses after its first probe and its first answer, from above 0 to 1. */
  readonly share: number;
  first: Promise<void>;
  state: PortState;
  failures: number;
  timer: Timer | undefined;
}

const NEVER_PROBED: PortState = {
  answers: false,
  hasAnswered: false,
  reason: undefined,
  answeredAtMs: undefined,
  silentSinceMs: undefined,
  taken: false,
};
/** A busy driver may take a while; one that listens nowhere is known at once. */
const TIMEOUT_MS = 5_000;
const STARTING_PERIOD_MS = 250;
const FAILING_PERIOD_MS = 1_000;
const READY_PERIOD_MS = 5_000;
/** A port that has answered is believed to fail after this many probes in a row. */
const FAILURES_BELIEVED = 2;
/** Multiples of it, modulo 1, lie evenly wherever one stops. */
const GOLDEN_RATIO = 0.618_033_988_75;

/**
 * Probes any number of ports, each under a key, often until it answers and now and then afterwards. Those that
 * are watched at the same time, as all are when a process starts, are probed at different times after that: a
 * thousand at once keep a process from its work for a third of a second.
 */
export class PortMonitor {
  readonly #options: PortMonitorOptions;
  readonly #targets = new Map<string, Target>();
  #watched = 0;

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
      share: 1 - ((this.#watched++ * GOLDEN_RATIO) % 1),
      first: Promise.resolve(),
      state: NEVER_PROBED,
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

  get size(): number {
    return this.#targets.size;
  }

  keys(): readonly string[] {
    return [...this.#targets.keys()];
  }

  close(): void {
    for (const key of this.keys()) this.unwatch(key);
  }

  async #probe(key: string, target: Target): Promise<void> {
    const { clock, onChange, probe = http2Probe, periodMs } = this.#options;
    const askedAtMs = clock.now();
    let reason = await probe(target.address, target.port, TIMEOUT_MS);
    const before = target.state;
    const taken = reason === undefined && !before.hasAnswered && !(await isOwned(target));
    if (taken) reason = 'another process answers';
    if (this.#targets.get(key) !== target) return;
    target.failures = reason === undefined ? 0 : target.failures + 1;
    const answers = reason === undefined || (before.answers && target.failures < FAILURES_BELIEVED);
    target.state = {
      answers,
      hasAnswered: before.hasAnswered || answers,
      reason,
      answeredAtMs: reason === undefined ? clock.now() : before.answeredAtMs,
      silentSinceMs: reason === undefined ? undefined : (before.silentSinceMs ?? askedAtMs),
      taken,
    };
    const isNews = before.answers && reason !== undefined;
    const pauseMs = isNews ? FAILING_PERIOD_MS : (periodMs?.() ?? usualPeriodMs(target.state));
    const isFirst = before === NEVER_PROBED || (answers && !before.hasAnswered);
    const share = isFirst ? target.share : 1;
    target.timer = clock.setTimer(pauseMs * share, () => void this.#probe(key, target));
    if (before.answers !== answers || before.taken !== taken) onChange();
  }
}

function usualPeriodMs({ reason, hasAnswered }: PortState): number {
  if (reason === undefined) return READY_PERIOD_MS;
  return hasAnswered ? FAILING_PERIOD_MS : STARTING_PERIOD_MS;
}

async function isOwned({ isOwner }: Target): Promise<boolean> {
  // What cannot be known now is asked again.
  return isOwner === undefined || (await isOwner().catch(() => false));
}

// Whether an HTTP/2 server answers on a port. Spark Connect servers have no gRPC health service, and
// an RPC would make a session; but a hung server still accepts TCP connections, which the kernel does
// for it. The first frame of a server is SETTINGS (RFC 9113 section 3.4), which it sends without work.

const HANGS = 'accepts connections and does not answer';

/** Whether a probe's answer says that something is there and stands still, be it asked for the first time. */
export function hangs(reason: string | undefined): boolean {
  return reason?.startsWith(HANGS) === true;
}

/** Resolves with undefined when the port answers, else with the reason. Never rejects. */
export type Probe = (
  address: string,
  port: number,
  timeoutMs: number,
) => Promise<string | undefined>;

/** The client's preface: a fixed text and an empty SETTINGS frame. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0', 'latin1');
const FRAME_HEAD_BYTES = 9;
const FRAME_TYPE_OFFSET = 3;
const SETTINGS = 4;

export const http2Probe: Probe = (address, port, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    let connected = false;
    let head = Buffer.alloc(0);
    const finish = (reason: string | undefined) => {
      socket.destroy();
      resolve(reason);
    };
    // Not the socket's own timeout, which starts anew with every byte.
    const limit = setTimeout(() => {
      finish(connected ? `${HANGS} within ${timeoutMs} ms` : `no answer within ${timeoutMs} ms`);
    }, timeoutMs);
    socket.once('close', () => {
      clearTimeout(limit);
      resolve('closes the connection without an answer');
    });
    socket.once('connect', () => {
      connected = true;
      socket.write(PREFACE);
    });
    socket.on('data', (bytes: Buffer) => {
      head = Buffer.concat([head, bytes]).subarray(0, FRAME_HEAD_BYTES);
      if (head.length < FRAME_HEAD_BYTES) return;
      finish(head[FRAME_TYPE_OFFSET] === SETTINGS ? undefined : 'does not speak HTTP/2');
    });
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });

/** For ports behind TLS, whose server would take no other client than Envoy: a connection must do. */
export const tcpProbe: Probe = (address, port, timeoutMs) =>
  new Promise((resolve) => {
    const socket = connect({ host: address, port });
    const finish = (reason: string | undefined) => {
      socket.destroy();
      resolve(reason);
    };
    socket.setTimeout(timeoutMs, () => finish(`no answer within ${timeoutMs} ms`));
    socket.once('connect', () => finish(undefined));
    socket.once('error', (error: NodeJS.ErrnoException) => finish(error.code ?? error.message));
  });
