/**
 * Who answers the calls of sidecars, and is told what sessions do: this process while it leads, else the leader that it
 * passes them on to, else nobody. Whenever that changes, calls under way end with UNAVAILABLE, so
 * that their callers come back to whoever leads then.
 */
import type { Server } from '@grpc/grpc-js';
import type { SidecarCaches } from '../model/envoy-fleet.js';
import type { GatewayError } from '../model/errors.js';
import type { Term } from '../records/elected-ledger.js';
import type { Leader } from './leader.js';

export interface SuccessionOptions {
  readonly createLeader: (term: Term) => Pick<
    Leader,
    'activity' | 'queries' | 'addServices' | 'start' | 'stop'
  > & {
    readonly notices: SidecarCaches;
  };
  readonly port: {
    serve(addServices: (server: Server) => void): void;
    endCalls(error: GatewayError): void;
  };
  readonly forwarder: {
    setTarget(address: string | undefined): void;
    addServices(server: Server): void;
  };
  /** From now on what sessions do is told to this leader; undefined: to whoever leads elsewhere. */
  readonly tellActivity: (leader: Pick<Leader, 'activity' | 'queries'> | undefined) => void;
  readonly notLeading: () => GatewayError;
}

export class Succession implements SidecarCaches {
  readonly #options: SuccessionOptions;
  readonly #listeners = new Set<() => void>();
  #term: Term | undefined;
  #leader: ReturnType<SuccessionOptions['createLeader']> | undefined;
  #isServing = false;

  constructor(options: SuccessionOptions) {
    this.#options = options;
    options.port.serve((server) => options.forwarder.addServices(server));
    options.tellActivity(undefined);
  }

  /** A term begins: it is answered for from the first look at the drivers under its epoch on. Or one ends. */
  setTerm(term: Term | undefined): void {
    this.#leader?.stop();
    this.#leader = undefined;
    this.#term = term;
    if (term) {
      this.#leader = this.#options.createLeader(term);
      this.#leader.notices.onChange(() => this.#changed());
    }
    this.#serveForwarder();
    this.#changed();
  }

  /** Another replica leads, at this address; or nobody does, or this one. */
  setLeaderElsewhere(address: string | undefined): void {
    this.#options.forwarder.setTarget(address);
    if (this.#isServing) return;
    this.#options.tellActivity(undefined);
    this.#endCalls();
  }

  /** Every driver was looked at under this epoch. */
  looked(epoch: number | undefined): void {
    const { port, forwarder } = this.#options;
    const leader = this.#leader;
    if (!leader || this.#isServing || epoch === undefined || epoch !== this.#term?.epoch) return;
    forwarder.setTarget(undefined);
    port.serve((server) => leader.addServices(server));
    this.#options.tellActivity(leader);
    this.#isServing = true;
    this.#endCalls();
    leader.start();
  }

  haveForgotten(driverUid: string): boolean {
    return this.#leader?.notices.haveForgotten(driverUid) ?? false;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  close(): void {
    this.#leader?.stop();
    this.#options.forwarder.setTarget(undefined);
  }

  #serveForwarder(): void {
    if (!this.#isServing) return;
    const { port, forwarder } = this.#options;
    this.#isServing = false;
    port.serve((server) => forwarder.addServices(server));
    this.#options.tellActivity(undefined);
    this.#endCalls();
  }

  #endCalls(): void {
    this.#options.port.endCalls(this.#options.notLeading());
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
