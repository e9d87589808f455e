/**
 * What only one replica sees, known to all: each follower tells the leader which Envoys are connected
 * to it, and is told of everybody's in return, with the sidecars that the leader knows.
 */
import { create } from '@bufbuild/protobuf';
import {
  AdministrationService,
  ShareFleetRequestSchema,
} from '#gen/spark_gateway/v1/administration_pb.js';
import type { CallLeader } from '../lib/grpc/forward.js';
import type { Clock, Timer } from '../model/clock.js';
import { reasonOf } from '../model/errors.js';
import type { ConnectedEnvoy, NodeStatus, SidecarStatus } from '../model/reports.js';

export interface SharedFleetOptions {
  /** Of this replica, unlike any other; undefined: it is the only one. */
  readonly replica: string | undefined;
  /** Connected to this replica. */
  readonly envoys: () => readonly NodeStatus[];
  /** While this replica leads: what the leader knows. */
  readonly sidecars: () => readonly SidecarStatus[] | undefined;
  readonly toLeader: CallLeader;
  readonly clock: Clock;
}

interface ReplicaEnvoys {
  readonly replica: string;
  readonly envoys: readonly NodeStatus[];
}

/** What the leader answers. */
export interface FleetOfAll {
  readonly replicas: readonly ReplicaEnvoys[];
  readonly sidecars: readonly SidecarStatus[];
}

const SHARE_MS = 2_000;
/** A replica that has said nothing for so long has ended, or is cut off. */
const SILENT_MS = 10_000;

export class SharedFleet {
  readonly #options: SharedFleetOptions;
  /** Told by followers, while this replica leads. */
  readonly #told = new Map<
    string,
    { readonly envoys: readonly NodeStatus[]; readonly atMs: number }
  >();
  /** Told by the leader, while it is another. */
  #answer: { readonly fleet: FleetOfAll; readonly atMs: number } | undefined;
  #failure = 'nothing has been heard of the leader yet';
  #leadsSinceMs: number | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: SharedFleetOptions) {
    this.#options = options;
  }

  /** Begins to tell the leader, and to ask it. */
  start(): void {
    if (this.#options.replica === undefined) return;
    void this.#share();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** The leader's side: takes in what a follower tells. */
  take(replica: string, envoys: readonly NodeStatus[]): FleetOfAll {
    this.#told.set(replica, { envoys, atMs: this.#options.clock.now() });
    return { replicas: this.#replicas(), sidecars: this.#options.sidecars() ?? [] };
  }

  /** Of all replicas that are known; one's own as they are now, those of others a few seconds old. */
  envoys(): readonly ConnectedEnvoy[] {
    const { replica, envoys } = this.#options;
    if (replica === undefined) return envoys();
    return this.#replicas().flatMap((one) =>
      one.envoys.map((envoy) => ({ ...envoy, replica: peopleName(one.replica) })),
    );
  }

  sidecars(): readonly SidecarStatus[] {
    return this.#options.sidecars() ?? this.#newestAnswer()?.sidecars ?? [];
  }

  /** Why the Envoys of other replicas may be missing, for people; undefined: they are not. */
  unknown(): string | undefined {
    const { replica, clock } = this.#options;
    if (replica === undefined) return undefined;
    if (!this.#leads()) {
      return this.#newestAnswer() ? undefined : this.#failure;
    }
    const sinceMs = clock.now() - (this.#leadsSinceMs ?? clock.now());
    return sinceMs >= SILENT_MS ? undefined : 'this replica has led for a moment only';
  }

  #leads(): boolean {
    const leads = this.#options.sidecars() !== undefined;
    if (leads) this.#leadsSinceMs ??= this.#options.clock.now();
    else this.#leadsSinceMs = undefined;
    return leads;
  }

  #replicas(): readonly ReplicaEnvoys[] {
    const { replica = '', envoys, clock } = this.#options;
    const own = { replica, envoys: envoys() };
    if (!this.#leads()) {
      const others = this.#newestAnswer()?.replicas ?? [];
      return [own, ...others.filter((other) => other.replica !== replica)];
    }
    for (const [name, { atMs }] of this.#told) {
      if (clock.now() - atMs >= SILENT_MS) this.#told.delete(name);
    }
    return [
      own,
      ...[...this.#told].map(([name, told]) => ({ replica: name, envoys: told.envoys })),
    ];
  }

  #newestAnswer(): FleetOfAll | undefined {
    const answer = this.#answer;
    if (!answer || this.#options.clock.now() - answer.atMs >= SILENT_MS) return undefined;
    return answer.fleet;
  }

  async #share(): Promise<void> {
    const { replica = '', envoys, toLeader, clock } = this.#options;
    if (!this.#leads()) {
      try {
        const { fleet } = await toLeader(
          AdministrationService.method.shareFleet,
          create(ShareFleetRequestSchema, { replica, envoys: JSON.stringify(envoys()) }),
        );
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- replicas of one release agree on it
        this.#answer = { fleet: JSON.parse(fleet) as FleetOfAll, atMs: clock.now() };
        this.#told.clear();
      } catch (error) {
        this.#failure = reasonOf(error);
      }
    }
    if (this.#closed) return;
    this.#timer = clock.setTimer(SHARE_MS, () => void this.#share());
  }
}

/** A replica's identity begins with the name that people know it by, such as its pod's. */
function peopleName(replica: string): string {
  return replica.replace(/_[0-9a-f-]{36}@.*$/, '');
}
