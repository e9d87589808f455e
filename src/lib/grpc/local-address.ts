/** Addresses that only this machine can reach, for servers that speak in the clear: unix sockets and loopback. */
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { isLoopback, type SocketAddress } from '../../model/address.js';
import { GatewayError, hasCode } from '../../model/errors.js';

/** Owner and group: Envoy runs under the same user or in the same group. */
const SOCKET_MODE = 0o660;

/**
 * To be called before listening. The folder of a socket is made, for its user alone; a socket file that a process left behind is removed; one that
 * something answers on, a file of another kind, and an address that others reach are SETTINGS_INVALID.
 * @param server for messages: who listens, and why nobody else may reach it.
 */
export async function prepareLocalAddress(address: SocketAddress, server: string): Promise<void> {
  if ('path' in address) {
    await mkdir(dirname(address.path), { recursive: true, mode: 0o700 });
    await removeStaleSocket(address.path);
    return;
  }
  if (isLoopback(address.host)) return;
  throw new GatewayError(
    'SETTINGS_INVALID',
    `${server}, so it listens on loopback or a unix socket only, not on ${address.host}.`,
  );
}

/** To be called once it listens. */
export async function protectLocalAddress(address: SocketAddress): Promise<void> {
  if ('path' in address) await chmod(address.path, SOCKET_MODE);
}

async function removeStaleSocket(path: string): Promise<void> {
  let found;
  try {
    found = await lstat(path);
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return;
    throw error;
  }
  if (!found.isSocket()) {
    throw new GatewayError('SETTINGS_INVALID', `${path} exists and is not a socket; remove it.`);
  }
  if (await answers(path)) {
    throw new GatewayError(
      'SETTINGS_INVALID',
      `Another process listens on ${path}; stop it first.`,
    );
  }
  await unlink(path);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
