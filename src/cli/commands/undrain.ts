/** `undrain`. */
import type { DriverAnswer } from '../../model/admin-api.js';
import type { OnlineCommand, OnlineContext } from '../command.js';
import { chosenBy, dryRun, eachChosen, undrained, wouldBe } from '../driver-actions.js';
import type { Shown } from '../render.js';
import { driverNamed } from './drivers.js';

export const undrain: OnlineCommand = {
  name: 'undrain',
  about: 'Takes a drain back, as long as the driver has not begun to end.',
  operands: '<driver>',
  insteadOfOperand: chosenBy.map(({ name }) => name),
  options: [...chosenBy, dryRun],
  settingsOf: 'operator',
  online: true,
  show,
};

async function show(context: OnlineContext): Promise<Shown> {
  const [only] = context.operands;
  if (only === undefined) return eachChosen(context, 'undrain', {});
  const { uid } = await driverNamed(context, only);
  if (context.options.has('dry-run')) return wouldBe('taken back', [uid]);
  const path = `drivers/${encodeURIComponent(uid)}/undrain`;
  const answer = await context.client.post<DriverAnswer>(path, {});
  return { value: answer, people: () => undrained(answer) };
}
