/** Checks that a value read back from a store is a driver record. */
import { fail, nonEmpty, number, object, oneOf, optional, string } from '../../lib/json-record.js';
import {
  type DriverRecord,
  driverPhases,
  sessionEnds,
  type SessionRecord,
  type Tombstone,
} from '../../model/driver.js';
import { GatewayError } from '../../model/errors.js';
import type { Principal } from '../../model/principal.js';

/** The record, without fields that this release does not know. Throws RecordSchemaError. */
export function parseDriverRecord(value: unknown): DriverRecord {
  const o = object(value, 'record');
  const resource = optional(o, 'resource', string);
  const variant = optional(o, 'variant', nonEmpty);
  const cluster = optional(o, 'cluster', clusterOf);
  const reason = optional(o, 'reason', string);
  const drainDeadlineMs = optional(o, 'drainDeadlineMs', number);
  const tenant = optional(o, 'tenant', tenantOf);
  return {
    uid: nonEmpty(o['uid'], 'uid'),
    instance: string(o['instance'], 'instance'),
    ...(resource === undefined ? {} : { resource }),
    namespace: nonEmpty(o['namespace'], 'namespace'),
    ...(variant === undefined ? {} : { variant }),
    address: string(o['address'], 'address'),
    port: number(o['port'], 'port'),
    ...(cluster === undefined ? {} : { cluster }),
    phase: oneOf(o['phase'], driverPhases, 'phase'),
    ...(reason === undefined ? {} : { reason }),
    createdAtMs: number(o['createdAtMs'], 'createdAtMs'),
    phaseSinceMs: number(o['phaseSinceMs'], 'phaseSinceMs'),
    sessions: bySession(o['sessions'], 'sessions', session),
    tombstones: bySession(o['tombstones'], 'tombstones', tombstone),
    ...(tenant === undefined ? {} : { tenant }),
    ...(drainDeadlineMs === undefined ? {} : { drainDeadlineMs }),
    ...(o['pastUnknown'] === true ? { pastUnknown: true } : {}),
    epoch: number(o['epoch'], 'epoch'),
  };
}

function session(value: unknown, path: string): SessionRecord {
  const o = object(value, path);
  return {
    sessionId: nonEmpty(o['sessionId'], `${path}.sessionId`),
    principal: principal(o['principal'], `${path}.principal`),
    userId: string(o['userId'], `${path}.userId`),
    team: string(o['team'], `${path}.team`),
    environment: string(o['environment'], `${path}.environment`),
    createdAtMs: number(o['createdAtMs'], `${path}.createdAtMs`),
    lastActiveMs: number(o['lastActiveMs'], `${path}.lastActiveMs`),
  };
}

function tombstone(value: unknown, path: string): Tombstone {
  const o = object(value, path);
  return {
    sessionId: nonEmpty(o['sessionId'], `${path}.sessionId`),
    principal: principal(o['principal'], `${path}.principal`),
    namespace: nonEmpty(o['namespace'], `${path}.namespace`),
    endedAtMs: number(o['endedAtMs'], `${path}.endedAtMs`),
    end: oneOf(o['end'], sessionEnds, `${path}.end`),
  };
}

function clusterOf(value: unknown, path: string): NonNullable<DriverRecord['cluster']> {
  const o = object(value, path);
  return {
    name: nonEmpty(o['name'], `${path}.name`),
    distance: number(o['distance'], `${path}.distance`),
  };
}

function tenantOf(value: unknown, path: string): NonNullable<DriverRecord['tenant']> {
  const o = object(value, path);
  return {
    principal: principal(o['principal'], `${path}.principal`),
    team: string(o['team'], `${path}.team`),
    ...(o['shared'] === true ? { shared: true } : {}),
  };
}

function principal(value: unknown, path: string): Principal {
  const o = object(value, path);
  return {
    issuer: string(o['issuer'], `${path}.issuer`),
    subject: nonEmpty(o['subject'], `${path}.subject`),
  };
}

function bySession<T extends { readonly sessionId: string }>(
  value: unknown,
  path: string,
  parse: (value: unknown, path: string) => T,
): Record<string, T> {
  const entries = Object.entries(object(value, path)).map(([key, entry]): [string, T] => {
    const parsed = parse(entry, `${path}.${key}`);
    if (parsed.sessionId !== key) fail(`${path}.${key}.sessionId`, `is not ${key}`);
    return [key, parsed];
  });
  return Object.fromEntries(entries);
}

/** A store's answer to a write or a deletion whose version is not the stored record's. */
export function changedByAnother(uid: string, cause?: unknown): GatewayError {
  return new GatewayError(
    'RECORD_CONFLICT',
    `The record of driver ${uid} was changed by someone else.`,
    { cause },
  );
}
