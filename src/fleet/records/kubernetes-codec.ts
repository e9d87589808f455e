/** Driver records as objects of the kind SparkDriver (k8s/crd/sparkdrivers.yaml), and back. */
import { RecordSchemaError } from '../../lib/json-record.js';
import type { DriverRecord, SessionRecord, Tombstone } from '../../model/driver.js';
import { gatewayOf, MANAGED_BY, MANAGED_BY_LABEL } from '../../lib/kubernetes/ownership.js';
import type { KubernetesObject, ObjectMeta } from '../../lib/kubernetes/objects.js';
import { isObject } from '../../model/json.js';
import { parseDriverRecord } from './record-schema.js';

export const API_VERSION = 'spark-gateway.io/v1alpha1';
export const KIND = 'SparkDriver';
export const DRIVER_NAMESPACE_LABEL = 'spark-gateway.io/driver-namespace';

/** What an object says beside the record. */
export interface StoredObject {
  readonly metadata: ObjectMeta;
  readonly driver: Record<string, unknown>;
  readonly status: Record<string, unknown> & { readonly epoch: number; readonly revision: number };
}

export function encodeDriver(record: DriverRecord): Record<string, unknown> {
  return {
    uid: record.uid,
    instance: record.instance,
    ...(record.resource === undefined ? {} : { resource: record.resource }),
    ...(record.cluster === undefined ? {} : { cluster: record.cluster }),
    namespace: record.namespace,
    ...(record.variant === undefined ? {} : { variant: record.variant }),
    address: record.address,
    port: record.port,
    createdAt: time(record.createdAtMs),
  };
}

export function encodeStatus(record: DriverRecord, revision: number): Record<string, unknown> {
  const { sessions, tombstones, tenant } = record;
  return {
    phase: record.phase,
    phaseSince: time(record.phaseSinceMs),
    ...(record.reason === undefined ? {} : { reason: record.reason }),
    ...(record.drainDeadlineMs === undefined
      ? {}
      : { drainDeadline: time(record.drainDeadlineMs) }),
    ...(tenant === undefined ? {} : { tenant }),
    ...(record.pastUnknown === undefined ? {} : { pastUnknown: record.pastUnknown }),
    sessions: mapValues(sessions, encodeSession),
    tombstones: mapValues(tombstones, encodeTombstone),
    sessionCount: Object.keys(sessions).length,
    epoch: record.epoch,
    revision,
  };
}

/** Whether another gateway than this one wrote it. */
export function isOfAnotherGateway(
  { metadata }: KubernetesObject,
  gateway: string | undefined,
): boolean {
  const writer = gatewayOf(metadata);
  return gateway !== undefined && writer !== undefined && writer !== gateway;
}

/** Checks every field; throws RecordSchemaError for an object that no gateway wrote. */
export function decodeRecord(object: unknown): { record: DriverRecord; stored: StoredObject } {
  if (!isObject(object) || !isObject(object['metadata'])) fail('it is no object');
  const { metadata, driver, status } = object;
  const labels = metadata['labels'];
  if (!isObject(labels) || labels[MANAGED_BY_LABEL] !== MANAGED_BY) {
    fail(`the gateway did not make it: its label ${MANAGED_BY_LABEL} is not ${MANAGED_BY}`);
  }
  if (!isObject(driver) || !isObject(status)) fail('driver or status is missing');
  const { epoch, revision } = status;
  if (typeof epoch !== 'number' || typeof revision !== 'number') {
    fail('status.epoch or status.revision is missing');
  }
  const { createdAt, ...identity } = driver;
  const { phaseSince, drainDeadline, sessions, tombstones, ...state } = status;
  const record = parseDriverRecord({
    ...identity,
    ...state,
    createdAtMs: milliseconds(createdAt, 'driver.createdAt'),
    phaseSinceMs: milliseconds(phaseSince, 'status.phaseSince'),
    ...(drainDeadline === undefined
      ? {}
      : { drainDeadlineMs: milliseconds(drainDeadline, 'status.drainDeadline') }),
    sessions: decodeMap(sessions, 'sessions', (id, session) => ({
      ...session,
      sessionId: id,
      createdAtMs: milliseconds(session['createdAt'], `sessions.${id}.createdAt`),
      lastActiveMs: milliseconds(session['lastActive'], `sessions.${id}.lastActive`),
    })),
    tombstones: decodeMap(tombstones, 'tombstones', (id, tombstone) => ({
      ...tombstone,
      sessionId: id,
      endedAtMs: milliseconds(tombstone['endedAt'], `tombstones.${id}.endedAt`),
    })),
  });
  const name = metadata['name'];
  if (name !== record.uid) fail(`its name ${String(name)} is not the driver's UID ${record.uid}`);
  return {
    record,
    stored: {
      metadata: { ...metadata, name: record.uid },
      driver,
      status: { ...status, epoch, revision },
    },
  };
}

function encodeSession(session: SessionRecord) {
  const { principal, userId, team, environment, createdAtMs, lastActiveMs } = session;
  return {
    principal,
    userId,
    team,
    environment,
    createdAt: time(createdAtMs),
    lastActive: time(lastActiveMs),
  };
}

function encodeTombstone({ principal, namespace, endedAtMs, end }: Tombstone) {
  return { principal, namespace, endedAt: time(endedAtMs), end };
}

function mapValues<T, U>(map: Readonly<Record<string, T>>, encode: (value: T) => U) {
  return Object.fromEntries(Object.entries(map).map(([key, value]) => [key, encode(value)]));
}

function decodeMap(
  map: unknown,
  path: string,
  decode: (id: string, value: Record<string, unknown>) => unknown,
): Record<string, unknown> {
  if (!isObject(map)) fail(`status.${path} is missing`);
  return Object.fromEntries(
    Object.entries(map).map(([id, value]) => [
      id,
      isObject(value) ? decode(id, value) : fail(`status.${path}.${id} is no object`),
    ]),
  );
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}

function milliseconds(text: unknown, path: string): number {
  const ms = typeof text === 'string' ? Date.parse(text) : NaN;
  return Number.isNaN(ms) ? fail(`${path} is no time`) : ms;
}

function fail(problem: string): never {
  throw new RecordSchemaError(problem);
}
