/** What this sidecar's sessions did, kept until the control plane has taken it in. */
import type { SessionActivity } from '../../model/assignment.js';

interface Pending {
  atMs: number;
  released: boolean;
}

interface Sent {
  readonly report: bigint;
  readonly sentAtMs: number;
  readonly activity: ReadonlyMap<string, Pending>;
}

/** One entry for each session, however often it was active. */
export class ActivityReports {
  #pending = new Map<string, Pending>();
  #sent: Sent[] = [];
  #lastReport = 0n;

  add({ sessionId, atMs, released }: SessionActivity): void {
    const pending = this.#pending.get(sessionId);
    if (!pending) {
      this.#pending.set(sessionId, { atMs, released });
      return;
    }
    pending.atMs = Math.max(pending.atMs, atMs);
    pending.released ||= released;
  }

  /** The next report: everything not yet sent. It counts as sent from now on. */
  next(nowMs: number): { readonly report: bigint; readonly activity: readonly SessionActivity[] } {
    const report = ++this.#lastReport;
    const activity = this.#pending;
    this.#pending = new Map();
    this.#sent.push({ report, sentAtMs: nowMs, activity });
    return {
      report,
      activity: [...activity].map(([sessionId, pending]) => ({ sessionId, ...pending })),
    };
  }

  /** Every report up to this one has been taken in. Returns when the newest of them was sent, undefined if there is none. */
  acknowledge(report: bigint): number | undefined {
    const newest = this.#sent.findLast((sent) => sent.report <= report);
    this.#sent = this.#sent.filter((sent) => sent.report > report);
    return newest?.sentAtMs;
  }

  /** When the oldest report that is not acknowledged was sent. */
  get waitingSinceMs(): number | undefined {
    return this.#sent[0]?.sentAtMs;
  }

  /** The stream broke: what was sent and not acknowledged is to be sent again. */
  takeBack(): void {
    const unsure = this.#sent;
    this.#sent = [];
    for (const { activity } of unsure) {
      for (const [sessionId, pending] of activity) this.add({ sessionId, ...pending });
    }
  }
}
