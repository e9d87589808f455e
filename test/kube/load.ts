/**
 * Clients that open sessions and ask for them again and again, at any replica, as sidecars do. Every
 * answer is compared with all others: one session has one driver, one driver one session.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { Assignment } from '#gen/spark_gateway/v1/assignments_pb.js';
import type { DriverRecord } from '../../src/model/driver.js';
import { GrpcStatus, toGatewayError } from '../../src/model/errors.js';
import { AssignmentClient } from '../support/assignment-client.js';
import type { Replica, Replicas } from './replicas.js';

const RETRY_MS = 50;
/** A replica that stands still is left for another after this. */
const PATIENCE_MS = 6_000;

export class Load {
  /** What went wrong, for people. Anything but UNAVAILABLE with a time to come back, which a client waits out, is wrong. */
  readonly faults = new Set<string>();
  /** How often clients were told to wait, by code. */
  readonly waits = new Map<string, number>();
  readonly #clients: readonly AssignmentClient[];
  readonly #replicas: Replicas;
  readonly #driverOf = new Map<string, string>();
  readonly #sessionOf = new Map<string, string>();
  readonly #workers: Promise<void>[] = [];
  #ending = false;

  constructor(t: ExecutionContext, replicas: Replicas) {
    this.#replicas = replicas;
    this.#clients = replicas.all.map(
      ({ controlPlane }) => new AssignmentClient(controlPlane.assignments),
    );
    t.teardown(async () => {
      await this.end();
      for (const client of this.#clients) client.close();
    });
  }

  get sessions(): readonly string[] {
    return [...this.#driverOf.keys()];
  }

  /** As many new sessions at once; each promise resolves when that one has been answered. */
  open(count: number): Promise<void>[] {
    return Array.from({ length: count }, (_, index) => this.ask(randomUUID(), { first: index }));
  }

  /** Asks one replica after the other until one answers. */
  async ask(sessionId: string, { mayCreate = true, first = 0 } = {}): Promise<void> {
    for (let turn = first; !this.#ending; turn += 1) {
      const client = this.#clients[turn % this.#clients.length];
      if (!client || (await this.#askOnce(client, sessionId, mayCreate, PATIENCE_MS))) return;
      await pause(RETRY_MS);
    }
  }

  /** Asks this replica alone, once. */
  async askOnly(replica: Replica, sessionId: string): Promise<void> {
    const client = this.#clients[this.#replicas.all.indexOf(replica)];
    if (client) await this.#askOnce(client, sessionId, true, 60_000);
  }

  /** Goes on asking for sessions that were opened, by as many clients at once, until `end`. */
  begin(clients: number): void {
    for (let n = 0; n < clients; n += 1) this.#workers.push(this.#work(n));
  }

  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#workers.splice(0));
    this.#ending = false;
  }

  /** Asks this replica for every session that was opened: it has to know them all. */
  async askForAll(replica: Replica): Promise<void> {
    const at = { mayCreate: false, first: this.#replicas.all.indexOf(replica) };
    await Promise.all(this.sessions.map((id) => this.ask(id, at)));
  }

  /** What the records say otherwise than the answers did. */
  compare(records: readonly DriverRecord[]): void {
    for (const [sessionId, driver] of this.#driverOf) {
      const holders = records.filter(({ sessions }) => Object.hasOwn(sessions, sessionId));
      const uids = holders.map(({ uid }) => uid);
      if (uids.join() !== driver) {
        this.faults.add(`${sessionId} was given ${driver}, and ${uids.join()} hold it`);
      }
    }
    for (const { uid, sessions } of records) {
      const ids = Object.keys(sessions);
      if (ids.length > 1) this.faults.add(`${uid} holds ${ids.join()}`);
    }
  }

  async #work(n: number): Promise<void> {
    for (let turn = n; !this.#ending; turn += 1) {
      const { sessions } = this;
      const sessionId = sessions[turn % sessions.length];
      if (sessionId !== undefined) await this.ask(sessionId, { mayCreate: false, first: turn });
      await pause(RETRY_MS);
    }
  }

  /** Whether there is nothing more to ask. */
  async #askOnce(
    client: AssignmentClient,
    sessionId: string,
    mayCreate: boolean,
    deadlineMs: number,
  ): Promise<boolean> {
    try {
      const asked = { ...requestOf(sessionId, this.#replicas.drivers), mayCreate };
      this.#answered(await client.assign({ ...asked, holdMs: deadlineMs / 2 }, { deadlineMs }));
      return true;
    } catch (error) {
      const { code, status, message, retryAfterMs } = toGatewayError(error);
      if (status === GrpcStatus.UNAVAILABLE && retryAfterMs !== undefined) {
        this.waits.set(code, (this.waits.get(code) ?? 0) + 1);
        return false;
      }
      this.faults.add(`${sessionId}: ${code} ${message}`);
      return true;
    }
  }

  #answered(assignment: Assignment | undefined): void {
    const { sessionId = '', driverUid = '' } = assignment ?? {};
    const driver = this.#driverOf.get(sessionId) ?? driverUid;
    const session = this.#sessionOf.get(driverUid) ?? sessionId;
    if (driver !== driverUid) this.faults.add(`${sessionId} was on ${driver}, then ${driverUid}`);
    if (session !== sessionId) this.faults.add(`${driverUid} had ${session}, then ${sessionId}`);
    this.#driverOf.set(sessionId, driverUid);
    this.#sessionOf.set(driverUid, sessionId);
  }
}

export function requestOf(sessionId: string, namespace: string) {
  return {
    sessionId,
    principal: { issuer: 'https://idp.test', subject: `user-of-${sessionId}` },
    userId: 'user',
    team: namespace.split('-')[1] ?? '',
    environment: 'dev',
    namespace,
    mayCreate: true,
    holdMs: 60_000,
    method: 'Config',
  };
}
