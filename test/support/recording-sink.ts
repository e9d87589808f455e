import type { ActivitySink, SessionActivity } from '../../src/model/assignment.js';

export interface SinkEvent {
  readonly kind: 'activity' | 'opened' | 'closed' | 'released' | 'connected' | 'disconnected';
  /** Session or reporter. */
  readonly id: string;
  readonly streamId?: string;
  readonly atMs?: number;
}

/** Keeps what an access log told, in order. */
export class RecordingSink implements ActivitySink {
  readonly events: SinkEvent[] = [];
  readonly #waiting = new Set<() => void>();

  activity(events: readonly SessionActivity[]): void {
    for (const { sessionId, atMs } of events) this.#add({ kind: 'activity', id: sessionId, atMs });
  }

  streamOpened(id: string, streamId: string, atMs: number): void {
    this.#add({ kind: 'opened', id, streamId, atMs });
  }

  streamClosed(id: string, streamId: string, atMs: number): void {
    this.#add({ kind: 'closed', id, streamId, atMs });
  }

  released(id: string, atMs: number): void {
    this.#add({ kind: 'released', id, atMs });
  }

  reporterConnected(id: string): void {
    this.#add({ kind: 'connected', id });
  }

  reporterDisconnected(id: string): void {
    this.#add({ kind: 'disconnected', id });
  }

  /** Resolves with the first event, past or to come, that fits. */
  async next(fits: (event: SinkEvent) => boolean): Promise<SinkEvent> {
    for (;;) {
      const found = this.events.find(fits);
      if (found) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #add(event: SinkEvent): void {
    this.events.push(event);
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
