import type { ActivitySink, SessionActivity } from '../../src/model/assignment.js';

export interface SinkEvent {
  readonly kind:
    | 'activity'
    | 'opened'
    | 'closed'
    | 'released'
    | 'closed-by-driver'
    | 'connected'
    | 'disconnected';
  /** Session or reporter. */
  readonly id: string;
  readonly streamId?: string;
  readonly atMs?: number;
}

/** Keeps what an access log told, in order. */
export class RecordingSink implements ActivitySink {
  readonly events: SinkEvent[] = [];
  /** What was told of clients' connections. */
  readonly connections: string[] = [];
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

  connectionUsed(id: string, connectionId: string): void {
    this.connections.push(`${id} used ${connectionId}`);
    this.#wake();
  }

  connectionEnded(connectionId: string): void {
    this.connections.push(`ended ${connectionId}`);
    this.#wake();
  }

  connectionsMissed(reporterId: string): void {
    this.connections.push(`missed ${reporterId}`);
  }

  released(id: string, atMs: number): void {
    this.#add({ kind: 'released', id, atMs });
  }

  closedByDriver(id: string): void {
    this.#add({ kind: 'closed-by-driver', id });
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

  /** Resolves when this was told of a connection. */
  async connection(fits: (told: string) => boolean): Promise<string> {
    for (;;) {
      const found = this.connections.find(fits);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#waiting.add(resolve);
      });
    }
  }

  #add(event: SinkEvent): void {
    this.events.push(event);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}
