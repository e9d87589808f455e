/** `evict`. */
import type { DriverAnswer } from '../../model/admin-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { afterwards } from '../driver-actions.js';
import type { Shown } from '../render.js';
import { driverNamed } from './drivers.js';

export const evict: OnlineCommand = {
  name: 'evict',
  about: 'Ends a driver now, with its sessions. Their clients are told at their next request.',
  operands: '<driver>',
  options: [{ name: 'wait', about: 'Waits until the driver has ended.' }],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const { uid, managed } = await driverNamed(context, context.operands[0] ?? '');
  const path = `drivers/${encodeURIComponent(uid)}/evict`;
  return afterwards(context, await context.client.post<DriverAnswer>(path, {}), managed);
}
