/** How a replica names itself in the Lease: unlike any other process, and with the address at which the others reach it. */
import { randomUUID } from 'node:crypto';

const IDENTITY = /^[^@]+_[0-9a-f-]{36}@([^@\s]+:\d{1,5})$/;

/** `name` is for people, such as the pod's; `address` is `host:port`. */
export function replicaIdentity(name: string, address: string): string {
  return `${name.replaceAll('@', '-')}_${randomUUID()}@${address}`;
}

/** undefined for a holder that is no replica of this kind. */
export function addressOfReplica(identity: string): string | undefined {
  return IDENTITY.exec(identity)?.[1];
}
