import { credentials } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import { AssignmentsClient } from '../../src/authz/assignments/assignments-client.js';
import { systemClock } from '../../src/model/clock.js';
import type { Replica } from './replicas.js';

/** What authz asks by: it follows the replicas and remembers. `addresses`: other ways to them. */
export function sidecar(
  t: ExecutionContext,
  replicas: readonly Replica[],
  addresses = replicas.map(({ controlPlane }) => controlPlane.assignments),
): AssignmentsClient {
  const client = new AssignmentsClient({
    addresses,
    credentials: credentials.createInsecure(),
    clock: systemClock,
    logger: pino({ level: 'silent' }),
  });
  t.teardown(() => client.close(0));
  client.start();
  return client;
}

/** Resolves when this replica, which leads, is followed by as many. */
export function untilFollowed({ controlPlane }: Replica, count: number): Promise<void> {
  return controlPlane.until(`to have ${count} sidecars`, async () => {
    const connected = (await controlPlane.sidecars()).filter((one) => one.connected);
    return connected.length === count;
  });
}
