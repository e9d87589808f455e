/** What is wrong with what the gateway was given to work with, for those who run it. */

/** A closed list: metrics count by it, and each is the reason of a Kubernetes Event. */
export const problemKinds = [
  /** A record that the gateway cannot read or did not write: its driver takes no session. */
  'record_unreadable',
  /** A pod that looks like a driver and is nobody's that the gateway may use. */
  'pod_foreign',
  /** A pod that is ready and has no IP address. */
  'pod_without_address',
  /** A resource with the gateway's labels that the gateway did not make. */
  'resource_foreign',
  /** Discovery says something of a driver that cannot be. */
  'driver_contradictory',
  /** Two live drivers claim one address: one of them is withheld. */
  'address_duplicated',
  /** A driver that does not come up: its image, a quota, its application… */
  'driver_start_failed',
  /** A driver that is up, as its pod says, and does not answer. */
  'driver_silent',
  /** A driver that was asked to end and is there long after its time. */
  'driver_not_ending',
  /** A driver that did not get its token: whoever reaches it could use it. */
  'driver_without_token',
  /** The last attempt to bring up a driver of a pool failed; the next waits. */
  'pool_failing',
  /** The API server refuses what a pool's template makes. */
  'template_refused',
  /** The templates as they are written now are not in force. */
  'templates_invalid',
  /** The file of static drivers as it is written now is not in force. */
  'static_drivers_invalid',
  /** The policy as it is written now is not in force. */
  'policy_invalid',
  /** What is decided of drivers cannot be stored, so it does not come about. */
  'records_unwritable',
  /** A part of what is to be watched cannot be read. */
  'unreadable',
  /** The record of a batch job that the gateway cannot read: nothing is decided about the job. */
  'job_unreadable',
  /** A batch job whose application could not be made yet. */
  'job_not_submitted',
  /** A batch job that is to end, and of which something is still there. */
  'job_not_ending',
  /** The keys of a token issuer that the policy accepts cannot be had. */
  'issuer_unreachable',
] as const;
export type ProblemKind = (typeof problemKinds)[number];

/** An object of a Kubernetes API server. */
export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  /** Of a Namespace: its own name, where what is said of it is kept. */
  readonly namespace: string;
  readonly uid?: string;
  /** Where several clusters are in use. */
  readonly cluster?: string;
}

export interface FleetProblem {
  readonly kind: ProblemKind;
  readonly object?: ObjectReference;
  /** The token issuer that it is about. */
  readonly issuer?: string;
  /** What is wrong and what to do, in one line. Holds no secret. */
  readonly message: string;
}

/** One that is known, and since when. */
export interface KnownProblem extends FleetProblem {
  readonly sinceMs: number;
}

/** Tells problems apart, whatever their words: by what they are about, where they are about something. */
export function problemKey({ kind, object, issuer, message }: FleetProblem): string {
  const what = object
    ? [object.cluster, object.kind, object.namespace, object.name, object.uid]
    : [issuer ?? message];
  return JSON.stringify([kind, ...what]);
}

export interface ProblemSource {
  /** What is wrong now. */
  problems(): Iterable<FleetProblem>;
}

export function namespaceReference(namespace: string, cluster?: string): ObjectReference {
  return {
    apiVersion: 'v1',
    kind: 'Namespace',
    name: namespace,
    namespace,
    ...(cluster === undefined ? {} : { cluster }),
  };
}
