/** Where authz listens, and where the Envoy beside it asks. */
import { join } from 'node:path';
import type { SocketAddress } from '../model/address.js';
import type { Settings } from './table.js';

/** A unix socket in `state_dir` where nothing else is said: no other user of the machine can ask. */
export function authzAddress({
  authz,
  stateDir,
}: Pick<Settings, 'authz' | 'stateDir'>): SocketAddress {
  return authz.listenAddr ?? { path: join(stateDir, 'authz.sock') };
}
