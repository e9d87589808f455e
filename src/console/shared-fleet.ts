/**
 * What only one replica sees, known to all: each follower tells the leader which Envoys are connected to it, what is
 * wrong there and who has left the console, and is told of everybody's in return, with what the leader alone knows.
 */
import { create } from '@bufbuild/protobuf';
import {
  AdministrationService,
  ShareFleetRequestSchema,
} from '#gen/spark_gateway/v1/administration_pb.js';
import type { CallLeader } from '../lib/grpc/forward.js';
import type { Clock, Timer } from '../model/clock.js';
import { reasonOf } from '../model/errors.js';
import { type KnownProblem, problemKey } from '../model/fleet-problem.js';
import type {
  ConnectedEnvoy,
  FleetReport,
  IssuerProblem,
  NodeStatus,
  PoolReport,
  SidecarStatus,
} from '../model/reports.js';
import type { EndedList, EndedSessions } from '../sign-in/ended-sessions.js';
import type { ReportedProblem, SeenActivity } from './console-sources.js';

export interface SharedFleetOptions {
  /** Of this replica, unlike any other; undefined: it is the only one. */
  readonly replica: string | undefined;
  /** Connected to this replica. */
  readonly envoys: () => readonly NodeStatus[];
  /** What this replica finds wrong. */
  readonly problems: () => readonly KnownProblem[];
  /** Token issuers whose keys this replica cannot fetch. */
  readonly issuers: () => readonly IssuerProblem[];
  /** While this replica leads. */
  readonly leader: () => LeaderFacts | undefined;
  readonly ended: EndedSessions;
  readonly toLeader: CallLeader;
  readonly clock: Clock;
}

/** What a leader alone knows. */
export interface LeaderFacts {
  sidecars(): readonly SidecarStatus[];
  activity(): readonly SessionActivity[];
  pools(): readonly PoolReport[];
}

/** Session, when it was last active (milliseconds since the epoch), RPCs that run: short, as there are many. */
export type SessionActivity = readonly [sessionId: string, lastActiveMs: number, running: number];

/** What a replica tells of itself. */
export interface ReplicaTells {
  readonly replica: string;
  readonly envoys: readonly NodeStatus[];
  readonly problems: readonly KnownProblem[];
  readonly issuers: readonly IssuerProblem[];
}

/** What the leader answers. */
export interface FleetOfAll {
  readonly replicas: readonly ReplicaTells[];
  readonly sidecars: readonly SidecarStatus[];
  readonly activity: readonly SessionActivity[];
  readonly pools: readonly PoolReport[];
  readonly ended: EndedList;
}

/** An issuer whose keys cannot be fetched, and who says so. */
export interface ToldIssuer extends IssuerProblem {
  readonly by: string;
}

const SHARE_MS = 2_000;
/** A replica that has said nothing for so long has ended, or is cut off. */
const SILENT_MS = 10_000;

export class SharedFleet {
  readonly #options: SharedFleetOptions;
  /** Told by followers, while this replica leads. */
  readonly #told = new Map<string, { readonly tells: ReplicaTells; readonly atMs: number }>();
  /** Told by the leader, while it is another. */
  #answer:
    | {
        readonly fleet: FleetOfAll;
        readonly activity: ReadonlyMap<string, SeenActivity>;
        readonly atMs: number;
      }
    | undefined;
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
    // Whoever has left the console is to be known before somebody else can use what they left.
    this.#options.ended.onEnd(() => {
      if (this.#timer === undefined) return;
      this.#timer.cancel();
      void this.#share();
    });
    void this.#share();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** The leader's side: takes in what a follower tells. */
  take(tells: ReplicaTells, ended: EndedList): FleetOfAll {
    const { clock, leader, ended: own } = this.#options;
    this.#told.set(tells.replica, { tells, atMs: clock.now() });
    own.take(ended);
    const facts = leader();
    return {
      replicas: [this.#own(), ...this.#others()],
      sidecars: facts?.sidecars() ?? [],
      activity: facts?.activity() ?? [],
      pools: facts?.pools() ?? [],
      ended: own.list(),
    };
  }

  /** Of all replicas that are known; one's own as they are now, those of others a few seconds old. */
  envoys(): readonly ConnectedEnvoy[] {
    const { replica, envoys } = this.#options;
    if (replica === undefined) return envoys();
    return [{ replica, envoys: envoys() }, ...this.#others()].flatMap((one) =>
      one.envoys.map((envoy) => ({ ...envoy, replica: peopleName(one.replica) })),
    );
  }

  sidecars(): readonly SidecarStatus[] {
    return this.#options.leader()?.sidecars() ?? this.#newestAnswer()?.fleet.sidecars ?? [];
  }

  /** What the leader knows of a session, while that is another replica; undefined: it is not heard, or knows nothing. */
  activity(sessionId: string): SeenActivity | undefined {
    return this.#newestAnswer()?.activity.get(sessionId);
  }

  /** With the pools as the leader knows them. */
  fleet(own: FleetReport): FleetReport {
    if (this.#leads()) return own;
    const pools = this.#newestAnswer()?.fleet.pools;
    return pools === undefined ? own : { ...own, pools };
  }

  /** One's own problems and those of other replicas, with who says so; the oldest first. */
  problems(): readonly ReportedProblem[] {
    const { replica, problems } = this.#options;
    if (replica === undefined) return problems();
    const found = new Map<string, KnownProblem & { readonly reportedBy: readonly string[] }>();
    for (const one of [{ replica, problems: problems() }, ...this.#others()]) {
      for (const problem of one.problems) {
        const key = problemKey(problem);
        const known = found.get(key);
        found.set(key, {
          ...(known ?? problem),
          sinceMs: Math.min(problem.sinceMs, known?.sinceMs ?? problem.sinceMs),
          reportedBy: [...(known?.reportedBy ?? []), peopleName(one.replica)],
        });
      }
    }
    return [...found.values()].toSorted((a, b) => a.sinceMs - b.sinceMs);
  }

  /** Issuers whose keys cannot be fetched by replicas or sidecars, with who says so. */
  issuers(): readonly ToldIssuer[] {
    const { replica, issuers } = this.#options;
    const ofReplicas = [{ replica, issuers: issuers() }, ...this.#others()].flatMap((one) => {
      const { replica: name } = one;
      const by = name === undefined ? 'the control plane' : `control plane ${peopleName(name)}`;
      return one.issuers.map((issuer) => ({ ...issuer, by }));
    });
    const ofSidecars = this.sidecars().flatMap(({ connected, name, sidecarId, policy }) =>
      connected
        ? (policy?.issuers ?? []).map((issuer) => ({ ...issuer, by: `authz ${name || sidecarId}` }))
        : [],
    );
    return [...ofReplicas, ...ofSidecars];
  }

  /** Whether what only a leader knows is known here. */
  get hearsLeader(): boolean {
    return this.#leads() || this.#newestAnswer() !== undefined;
  }

  /** Why what other replicas know may be missing, for people; undefined: it is not. */
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
    const leads = this.#options.leader() !== undefined;
    if (leads) this.#leadsSinceMs ??= this.#options.clock.now();
    else this.#leadsSinceMs = undefined;
    return leads;
  }

  #own(): ReplicaTells {
    const { replica = '', envoys, problems, issuers } = this.#options;
    return { replica, envoys: envoys(), problems: problems(), issuers: issuers() };
  }

  /** What other replicas tell, as far as it is known here. */
  #others(): readonly ReplicaTells[] {
    const { replica, clock } = this.#options;
    if (!this.#leads()) {
      const all = this.#newestAnswer()?.fleet.replicas ?? [];
      return all.filter((other) => other.replica !== replica);
    }
    for (const [name, { atMs }] of this.#told) {
      if (clock.now() - atMs >= SILENT_MS) this.#told.delete(name);
    }
    return [...this.#told.values()].map(({ tells }) => tells);
  }

  #newestAnswer() {
    const answer = this.#answer;
    if (!answer || this.#leads()) return undefined;
    return this.#options.clock.now() - answer.atMs >= SILENT_MS ? undefined : answer;
  }

  async #share(): Promise<void> {
    this.#timer = undefined;
    const { toLeader, ended, clock } = this.#options;
    if (!this.#leads()) {
      try {
        const { replica, envoys, problems, issuers } = this.#own();
        const answer = await toLeader(
          AdministrationService.method.shareFleet,
          create(ShareFleetRequestSchema, {
            replica,
            envoys: JSON.stringify(envoys),
            problems: JSON.stringify(problems),
            issuers: JSON.stringify(issuers),
            ended: JSON.stringify(ended.list()),
          }),
        );
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- replicas of one release agree on it
        this.#heard(JSON.parse(answer.fleet) as Partial<FleetOfAll>);
      } catch (error) {
        this.#failure = reasonOf(error);
      }
    }
    if (this.#closed) return;
    this.#timer = clock.setTimer(SHARE_MS, () => void this.#share());
  }

  /** A leader of an older release tells less. */
  #heard(told: Partial<FleetOfAll>): void {
    const { replicas = [], sidecars = [], activity = [], pools = [], ended = [] } = told;
    this.#answer = {
      fleet: { replicas: replicas.map(complete), sidecars, activity, pools, ended },
      activity: new Map(
        activity.map(([id, lastActiveMs, openStreams]) => [id, { lastActiveMs, openStreams }]),
      ),
      atMs: this.#options.clock.now(),
    };
    this.#options.ended.take(ended);
    this.#told.clear();
  }
}

function complete({ replica, envoys, ...told }: Partial<ReplicaTells>): ReplicaTells {
  const { problems = [], issuers = [] } = told;
  return { replica: replica ?? '', envoys: envoys ?? [], problems, issuers };
}

/** A replica's identity begins with the name that people know it by, such as its pod's. */
function peopleName(replica: string): string {
  return replica.replace(/_[0-9a-f-]{36}@.*$/, '');
}
