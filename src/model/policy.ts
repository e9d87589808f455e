import type { BatchPolicy } from './batch-policy.js';
import type { GatewayError, ErrorCode, GrpcStatus } from './errors.js';
import type { Caller } from './principal.js';

export interface PoolSize {
  /** Drivers kept `available` ahead of demand. */
  readonly size: number;
  /** Drivers at most, whatever their phase. */
  readonly maximum: number;
}

export interface ScheduledSize extends PoolSize {
  /** When it may change, milliseconds since the epoch. */
  readonly untilMs: number;
}

export interface PoolSchedule {
  /** The scheduled times, for people. */
  readonly times: readonly string[];
  /** What is in force at a moment, milliseconds since the epoch. */
  at(nowMs: number): ScheduledSize;
}

/** A variant of a pool's drivers that a share of its new sessions is sent to. */
export interface CanaryPolicy {
  /** Of the template, or of the local settings, that its drivers are made from. */
  readonly variant: string;
  /** From 0 to 1: of the new sessions that no canary before this one takes. */
  readonly share: number;
  /** What is alike for sessions that stay together: their principal, or nothing. */
  readonly sticky: 'principal' | 'session';
  /** What a session does while no driver of the variant is free. */
  readonly whenNoneIsReady: 'stable' | 'wait';
  /** Of its drivers, beside those of the pool; undefined: the share of the pool's. */
  readonly size: number | undefined;
  readonly maximum: number | undefined;
}

export interface DriverLossPolicy {
  /** The driver and its sessions are ended when it has not answered for so long; undefined: never. */
  readonly endAfterMs: number | undefined;
  /** Whether a driver is made ready for those who may lose theirs. */
  readonly startReplacement: boolean;
}

/** How the drivers of one namespace are kept. All durations are milliseconds. */
export interface PoolPolicy extends PoolSize {
  /** Takes the place of `size` and `maximum`, where there is one: see `poolAt`. */
  readonly schedule?: PoolSchedule;
  readonly canaries?: readonly CanaryPolicy[];
  /** 1: each session has a driver of its own. */
  readonly sessionsPerDriver: number;
  /** Who may share a driver, or have it after another: one principal, or one team. */
  readonly sharing: 'principal' | 'team';
  /** What becomes of a driver when its last session ends. */
  readonly afterUse: 'replace' | 'reuse';
  /** How long an `available` driver beyond `size` may idle; undefined: for ever. */
  readonly idleTtlMs: number | undefined;
  /** How long a session is kept whose client has closed all its connections; absent: as any that is idle. */
  readonly disconnectedTtlMs?: number;
  /** How long a driver may take to come up. */
  readonly startTimeoutMs: number;
  /** What is done about a driver that has sessions and does not answer; absent: it is waited for. */
  readonly onDriverLoss?: DriverLossPolicy;
}

export interface QuotaPolicy {
  readonly sessionsPerPrincipal: number | undefined;
  readonly sessionsPerTeam: number | undefined;
  readonly sessionsPerNamespace: number | undefined;
}

/** For one principal, one team and one namespace; undefined: no limit. */
export interface RateLimits {
  readonly principal: RateLimit | undefined;
  readonly team: RateLimit | undefined;
  readonly namespace: RateLimit | undefined;
}

export interface RateLimitPolicy {
  /** New sessions, counted in one place. */
  readonly sessions: RateLimits;
  /** Requests but those that end what is running, counted by each sidecar for its Envoy. */
  readonly requests: RateLimits;
}

/** What is allowed at a time in one namespace; undefined: what settings and drivers allow. */
export interface LimitPolicy {
  /** The largest request message as it is sent: compressed, where the client compresses. */
  readonly messageSizeBytes: number | undefined;
  /** TCP connections of one Envoy to one driver. */
  readonly connectionsPerDriver: number | undefined;
  /** Queries that run at a time. Those of a principal and of a team count in all namespaces that limit queries. */
  readonly queriesPerSession: number | undefined;
  readonly queriesPerPrincipal: number | undefined;
  readonly queriesPerTeam: number | undefined;
  readonly queriesPerNamespace: number | undefined;
}

/** An issuer of tokens that this gateway accepts. */
export interface IssuerPolicy {
  /** The `iss` claim, compared byte for byte. */
  readonly issuer: string;
  /** The discovery document, where it is not at `<issuer>/.well-known/openid-configuration`. */
  readonly discoveryUrl?: string;
  /** The key set, for an issuer without a discovery document. */
  readonly jwksUri?: string;
  /** PEM file of the authorities that sign the issuer's own certificate; undefined: the well-known ones. */
  readonly caFile?: string;
  /** Accepted `aud` values; empty: any audience. */
  readonly audiences: readonly string[];
  /** Accepted OAuth clients (`cid`, or `azp`); empty: any client. */
  readonly clientIds: readonly string[];
  /** JWS `alg` values that are accepted; asymmetric ones only, never empty. */
  readonly algorithms: readonly string[];
  /** The claim that lists the caller's groups. */
  readonly groupsClaim: string;
  /** The claim that becomes `Principal.subject`. */
  readonly principalClaim: string;
  /** How far `exp` and `nbf` may be off, milliseconds. */
  readonly clockSkewMs: number;
}

/** What the request says of where it wants to go. Header names are lower case. */
export interface TargetRequest {
  /** Present and not duplicated. */
  header(name: string): string | undefined;
  /** The `:authority` without port. */
  readonly host: string;
  readonly caller: Caller;
}

export interface Target {
  readonly team: string;
  readonly environment: string;
  readonly namespace: string;
}

export interface TeamAndEnvironment {
  readonly team: string;
  readonly environment: string;
}

/** What a caller may do with the gateway itself; `admin` includes `read`. */
export type AdministrationRole = 'none' | 'read' | 'admin';

/** Told of what a policy meets while it decides. Its methods must be cheap and must not throw. */
export interface PolicyObserver {
  /** The expression of a rule gave no answer, so that the rule did not match. */
  expressionFailed(failure: {
    /** The policy's. */
    readonly version: string;
    /** The rule's name, or its line. */
    readonly rule: string;
    /** Such as `no_such_key`: one of a few. */
    readonly code: string;
    readonly message: string;
  }): void;
}

export interface ShadowRequest {
  readonly caller: Caller;
  readonly target: Target;
  readonly host: string;
  readonly userId: string;
  /** Of the Config RPC. */
  readonly config?: ConfigRequest;
}

export interface ShadowFinding {
  /** The rule's name, or its line. */
  readonly rule: string;
  /** With what it would refuse the request; undefined: it would allow it, while it is refused. */
  readonly refusal: GatewayError | undefined;
  readonly message: string;
}

/** A loaded policy: an immutable value, replaced as a whole on reload. */
export interface Policy {
  /** Content hash; changes whenever a decision could. */
  readonly version: string;
  /** Whose tokens are accepted; `issuer` is unique. */
  readonly issuers: readonly IssuerPolicy[];
  /** Names of services and source networks. */
  readonly services: readonly string[];
  /** Whether Envoy may keep decisions for a few seconds (src/authz/lease.ts). */
  readonly leases: boolean;
  /** Where the request goes, defaults applied. TEAM_MISSING, ENVIRONMENT_MISSING or TEAM_OR_ENVIRONMENT_INVALID otherwise. */
  target(request: TargetRequest): Target | GatewayError;
  /** undefined: allowed. NAMESPACE_REFUSED otherwise, saying what the caller may use. `host` as in the target's request. */
  refuseUse(caller: Caller, target: Target, host?: string): GatewayError | undefined;
  /** undefined: allowed. USER_ID_MISMATCH where the policy asks that `user_id` be the caller's. */
  refuseUserId(caller: Caller, userId: string): GatewayError | undefined;
  /** undefined: allowed. CONFIG_REFUSED where the policy keeps one of the settings from being read or set. */
  refuseConfig(caller: Caller, target: Target, config: ConfigRequest): GatewayError | undefined;
  /** The service that a verified peer certificate stands for, if policy names it. `uriSans`, `dnsSans`, `subject` as Envoy verified them. */
  service(peer: PeerCertificate): Caller | undefined;
  /** The caller that an unauthenticated source address stands for, where policy names its network. */
  sourceNetwork(address: string): Caller | undefined;
  /** What its rules in shadow mode would do to a request; left out where there are none. */
  shadows?(request: ShadowRequest): readonly ShadowFinding[];
  /** Who may see the gateway's state (`read`) and who may operate it (`admin`). */
  administration(caller: Caller): AdministrationRole;
  /** Why a request is allowed or refused, by the same rules as the methods above. Not for the path of a request. */
  explain(request: ExplainRequest): Explanation;
  pool(namespace: string): PoolPolicy | undefined;
  /** The team and environment that name this namespace, where there are such. */
  parseNamespace?(namespace: string): TeamAndEnvironment | undefined;
  /** Namespaces whose pools are kept warm ahead of any request. */
  readonly warmNamespaces: readonly string[];
  quotas(namespace: string): QuotaPolicy;
  /** Absent, or undefined: no limits. */
  rateLimits?(namespace: string): RateLimitPolicy | undefined;
  /** Absent, or undefined: no limits. */
  limits?(namespace: string): LimitPolicy | undefined;
  /** Who may do what with batch jobs. Absent: nobody may do anything. */
  readonly batch?: BatchPolicy;
}

export interface PeerCertificate {
  readonly uriSans: readonly string[];
  readonly dnsSans: readonly string[];
  readonly subject: string;
}

/** What a request of the Config RPC asks of Spark's settings, as far as the gateway sees it. */
export interface ConfigRequest {
  /** Settings that it reads. */
  readonly reads: readonly string[];
  /** Settings that it sets or unsets. */
  readonly writes: readonly string[];
  /** It reads all settings that begin with one of these; the empty text is every setting. */
  readonly lists: readonly string[];
  /** Whether this is all of it: a long request goes on beyond what the gateway reads. */
  readonly whole: boolean;
}

// Why a policy allows or refuses a request, step by step. An explanation is a plain value: it is
// shown as JSON as it is.

/** A request that somebody asks about. What is left out is not sent. */
export interface ExplainRequest {
  readonly caller: Caller;
  /** The host that the client connects to, without port. */
  readonly host?: string | undefined;
  /** As in the header that names the team. */
  readonly team?: string | undefined;
  /** As in the header that names the environment. */
  readonly environment?: string | undefined;
  /** As in the connection string; left out: not compared with the caller. */
  readonly userId?: string | undefined;
  /** For a request of the Config RPC: what it reads or sets. */
  readonly config?: Partial<ConfigRequest> | undefined;
}

/** A refusal as the client gets it. */
export interface ExplainedRefusal {
  readonly code: ErrorCode;
  readonly status: GrpcStatus;
  readonly message: string;
}

/** In the order in which they are decided; after one that refuses, the others are `not reached`. */
export type StepName = 'caller' | 'target' | 'access' | 'user_id' | 'config' | 'pool';

export interface ExplainedStep {
  readonly step: StepName;
  readonly outcome: 'passed' | 'refused' | 'not reached';
  readonly reason: string;
}

export interface ExplainedRule {
  /** From 1, as in the policy. */
  readonly number: number;
  readonly name?: string;
  /** Where it begins in the policy's text. */
  readonly line?: number;
  /** Whether it allows this request; one such rule is enough. */
  readonly allows: boolean;
  /** Whether it is for this caller at all. */
  readonly forCaller: boolean;
  /** What matched, and what did not. */
  readonly reason: string;
}

export interface Explanation {
  readonly policyVersion: string;
  readonly allowed: boolean;
  /** Missing where the request is allowed. */
  readonly refusal?: ExplainedRefusal;
  readonly caller: {
    readonly issuer: string;
    readonly subject: string;
    readonly groups: readonly string[];
  };
  /** Where the request goes, defaults applied; missing where that cannot be said. */
  readonly target?: Target;
  readonly steps: readonly ExplainedStep[];
  /** Every access rule, in the policy's order; empty where access was not reached. */
  readonly rules: readonly ExplainedRule[];
  /** How drivers of the target's namespace are kept; missing where there is no pool. */
  readonly pool?: PoolPolicy;
  /** What a new session counts against; missing where there is no target. */
  readonly quotas?: QuotaPolicy;
  readonly rateLimits?: RateLimitPolicy;
  readonly limits?: LimitPolicy;
  /** What the caller may do with the gateway itself. */
  readonly administration: AdministrationRole;
}
// So many in a time, for each key: the generic cell rate algorithm, which is a token bucket that
// remembers one moment for each key (ITU-T I.371). In any time t no more than `count + t / perMs * count`
// are let through. Nothing is remembered of a key whose bucket is full.

export interface RateLimit {
  /** At once, after a time without any; refilled evenly. */
  readonly count: number;
  readonly perMs: number;
}
