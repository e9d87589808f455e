/** The RPCs of Spark Connect 3.5 to 4.x and what authz does differently for each. */
import { SPARK_CONNECT_SERVICE } from '../model/names.js';

export interface SparkMethod {
  readonly name: string;
  /** Whether it may make an assignment or start a driver. */
  readonly mayCreate: boolean;
  /** Whether an owner's token that has expired is still good for it, within the grace. */
  readonly graceful: boolean;
  /** What it is of a query, if it is part of one that counts for the limits of the policy. */
  readonly query?: 'begins' | 'resumes';
  /** The string field that names a second session, of this one's driver. */
  readonly newSessionField?: number;
  /** The bool field that says whether the client means to come back. */
  readonly allowReconnectField?: number;
}

const methods: readonly SparkMethod[] = [
  { name: 'Config', mayCreate: true, graceful: false },
  { name: 'AnalyzePlan', mayCreate: true, graceful: false },
  { name: 'ExecutePlan', mayCreate: true, graceful: false, query: 'begins' },
  { name: 'AddArtifacts', mayCreate: true, graceful: false },
  { name: 'ArtifactStatus', mayCreate: true, graceful: false },
  { name: 'ReattachExecute', mayCreate: false, graceful: true, query: 'resumes' },
  { name: 'ReleaseExecute', mayCreate: false, graceful: true },
  { name: 'ReleaseSession', mayCreate: false, graceful: true, allowReconnectField: 4 },
  { name: 'Interrupt', mayCreate: false, graceful: true },
  { name: 'FetchErrorDetails', mayCreate: false, graceful: true },
  { name: 'CloneSession', mayCreate: false, graceful: false, newSessionField: 4 },
  { name: 'GetStatus', mayCreate: false, graceful: false },
];

const byPath = new Map(
  methods.map((method) => [`/${SPARK_CONNECT_SERVICE}/${method.name}`, method]),
);

/** The method of a gRPC path; undefined for a path that is not one of Spark Connect's. */
export function sparkMethod(path: string): SparkMethod | undefined {
  return byPath.get(path);
}
